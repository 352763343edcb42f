"""Everybody at once, on both databases: no deadlock, no broken rule, whatever the order."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text
from sqlmodel import select

from queen import events, joining
from queen.database import Database
from queen.reconciler import Reconciler
from queen.recording import Recorder
from queen.rows import Event, Job
from shared.errors import RbeeError
from shared.narration import Line, as_event
from shared.protocol import Grant
from shared.routing import narration_stream
from shared.states import FINAL, JobState, Outcome
from tests.fleet import Fleet

SECONDS = 1.5
MODELS = [f"org/m{number}" for number in range(5)]


class Storm:
    """Threads that do what they do until the time is over; what they raise beyond our own errors is kept."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.broken: list[BaseException] = []
        self.done: Counter[str] = Counter()
        self._ends_at = time.monotonic() + SECONDS

    def blow(self, *works: Callable[[random.Random], None]) -> None:
        threads = [threading.Thread(target=self._repeat, args=pair) for pair in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)

    def _repeat(self, seed: int, work: Callable[[random.Random], None]) -> None:
        dice = random.Random(seed)
        while time.monotonic() < self._ends_at and not self.broken:
            time.sleep(0.002)
            try:
                work(dice)
                self.done[work.__name__] += 1
            except RbeeError:
                self.done[f"{work.__name__} refused"] += 1
            except Exception as error:  # noqa: BLE001 - shown by the test
                self.broken.append(error)


def test_a_storm_breaks_no_rule(
    fleet: Fleet, database: Database, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    deadlocks = _deadlocks(database)
    hives = [fleet.hive(f"h{number}") for number in range(3)]
    held: dict[str, list[Grant]] = {hive: [] for hive in hives}
    storm = Storm(fleet)
    recorder, reconciler = (
        Recorder(database, redis),
        Reconciler(database, retention_days=30, retention_jobs=1000),
    )
    job_ids: list[str] = []

    def submit(dice: random.Random) -> None:
        target: dict[str, Any] = dice.choice(
            [{"all": True}, {"capability": "cpu"}, {"hive": dice.choice(hives)}]
        )
        operation = dice.choice(["model_download", "model_verify", "model_delete"])
        job_ids.append(fleet.submit(dice.choice(MODELS), operation, **target))

    def wish(dice: random.Random) -> None:
        if job_ids:
            verb = dice.choice([fleet.cancel, fleet.pause, fleet.resume, fleet.retry])
            verb(dice.choice(job_ids))

    def lose(dice: random.Random) -> None:
        hive = dice.choice(hives)
        if held[hive]:
            fleet.lose(held[hive][-1].job_id)

    def work(dice: random.Random) -> None:
        hive = dice.choice(hives)
        for grant in fleet.claim_lanes(hive, download=2, other=2):
            held[hive].append(grant)
            event = as_event(Line("works"), job_id=grant.job_id, attempt=grant.attempt, seq=1, at=time.time())
            redis.xadd(narration_stream(hive), {"e": json.dumps(event)})

    def finish(dice: random.Random) -> None:
        hive = dice.choice(hives)
        if held[hive]:
            grant = held[hive].pop(0)
            item = {
                "kind": "model",
                "id": grant.params["model"],
                "status": dice.choice(["available", "gone"]),
            }
            fleet.finish(hive, grant, dice.choice(list(Outcome)), last_seq=1, artifact=item)

    def beat(dice: random.Random) -> None:
        hive = dice.choice(hives)
        items = [{"kind": "model", "id": model, "status": "available"} for model in MODELS]
        fleet.beat(hive, *held[hive], artifacts=dice.choice([items, None]))

    def record(_: random.Random) -> None:
        recorder.load_cursors()
        recorder.step(block=0.01)

    def reconcile(_: random.Random) -> None:
        with database.write() as tx:
            for job in tx.session.exec(select(Job).where(Job.state == JobState.QUEUED).limit(5)):
                tx.session.refresh(job, with_for_update=True)
                job.rung_at = None
                break
        reconciler.tick()
        time.sleep(0.05)

    storm.blow(submit, wish, wish, lose, work, work, finish, finish, beat, beat, record, reconcile)

    assert storm.broken == []
    assert caplog.records == []
    assert _deadlocks(database) == deadlocks
    assert storm.done["finish"] and storm.done["work"] and storm.done["record"], storm.done
    for hive in hives:
        fleet.do(lambda tx, hive=hive: joining.remove(tx, hive))
    for job_id in job_ids:
        if fleet.job(job_id).state not in FINAL:
            fleet.cancel(job_id)
    while recorder.step(block=0.01):
        pass
    with database.write() as tx:
        for job in tx.session.exec(select(Job).where(Job.finished_at is not None)):
            job.finished_at = (job.finished_at or time.time()) - 60
    for _ in range(2):
        reconciler.tick()
    _check_the_rules(database)


def _deadlocks(database: Database) -> int:
    """That PostgreSQL had to break; it counts them a moment later."""
    if database.is_sqlite:
        return 0
    time.sleep(0.5)
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        query = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(query).scalar() or 0)


def _check_the_rules(database: Database) -> None:
    with database.read() as session:
        all_jobs = list(session.exec(select(Job)))
        told = list(session.exec(select(Event).order_by(Event.id)))  # type: ignore[arg-type]
        newest = events.newest_id(session)
    assert [event.id for event in told] == list(range(1, newest + 1))
    ends = Counter((event.job_id, event.attempt) for event in told if event.kind == "end")
    assert set(ends.values()) <= {1}
    for job in all_jobs:
        assert job.state in FINAL, job
        assert job.ended, job
        assert ends[job.id, job.attempt] == 1
        last = next(event for event in reversed(told) if event.job_id == job.id and event.kind == "end")
        assert last.data is not None
        assert last.data["state"] == job.state
    states: dict[str, list[str]] = {}
    for job in all_jobs:
        if job.parent_id:
            states.setdefault(job.parent_id, []).append(job.state)
    for parent in (job for job in all_jobs if job.is_parent):
        children = states[parent.id]
        expected = (
            JobState.FAILED
            if JobState.FAILED in children
            else JobState.CANCELLED
            if JobState.CANCELLED in children
            else JobState.COMPLETED
        )
        assert parent.state == expected, (parent, children)
