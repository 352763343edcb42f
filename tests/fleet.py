"""A queen's rows with hives and jobs in them, made by the same functions that the web process calls."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlmodel import Session, select

from queen import attempts, claims, jobs, joining, submission, wishes
from queen.database import Database, Tale, Transaction
from queen.heartbeats import HeartbeatWriter
from queen.rows import Event, Hive, Job
from shared.ids import new_boot_id, new_claim_id
from shared.operations import OPERATIONS, Lane
from shared.protocol import (
    ClaimRequest,
    Grant,
    Heartbeat,
    HeartbeatAnswer,
    HiveFacts,
    JoinRequest,
    OutcomeReport,
    RunningAttempt,
)
from shared.states import Outcome
from shared.timing import PROTOCOL

GIB = 1 << 30


def facts(**changed: Any) -> HiveFacts:
    values: dict[str, Any] = {
        "platform": "linux",
        "arch": "x86_64",
        "capabilities": ["cpu"],
        "devices": [],
        "memory_total": 8 * GIB,
        "memory_available": 8 * GIB,
        "disk_total": 100 * GIB,
        "disk_free": 100 * GIB,
        "operations": list(OPERATIONS),
    }
    return HiveFacts(**{**values, **changed})


class Fleet:
    """Verbs of people and hives, each in a transaction of its own. `tales` is what was told after the commits."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tales: list[Tale] = []
        database.tell = self.tales.extend
        self._heartbeats = HeartbeatWriter(database)
        self.boots: dict[str, str] = {}

    def do(self, what: Callable[[Transaction], Any]) -> Any:
        with self.database.write() as tx:
            return what(tx)

    def close(self) -> None:
        self._heartbeats.close()

    # Machines.

    def hive(
        self, name: str = "attic", *, online: bool = True, protocol: int = PROTOCOL, **changed: Any
    ) -> str:
        request = JoinRequest(token="", name=name, protocol=protocol, facts=facts(**changed))
        with self.database.write() as tx:
            hive = joining.register(tx, request, kind="hive", now=time.time()).hive
            self.boots[hive.id] = new_boot_id()
            if online:
                hive.last_seen, hive.boot_id = time.time(), self.boots[hive.id]
        return hive.id

    def change_hive(self, hive_id: str, **values: Any) -> None:
        with self.database.write() as tx:
            hive = tx.session.get(Hive, hive_id)
            for name, value in values.items():
                setattr(hive, name, value)

    def beat(self, hive_id: str, *granted: Grant, **more: Any) -> HeartbeatAnswer:
        running = [
            RunningAttempt(job_id=grant.job_id, attempt=grant.attempt, claim_id=grant.claim_id)
            for grant in granted
        ]
        values: dict[str, Any] = {"protocol": PROTOCOL, "boot_id": self.boots[hive_id], "attempts": running}
        return self._heartbeats.beat(hive_id, Heartbeat(**{**values, **more}))

    # Jobs.

    def submit(self, model: str = "org/repo", operation: str = "model_download", **target: Any) -> str:
        wanted = submission.parse(
            {"operation": operation, "model": model, "target": target or {"capability": "cpu"}}
        )
        job: Job = self.do(lambda tx: submission.submit(tx, wanted, principal="admin"))
        return job.id

    def claim(
        self, hive_id: str, job_id: str, claim_id: str | None = None, attempt: int | None = None
    ) -> Grant:
        request = ClaimRequest(
            claim_id=claim_id or new_claim_id(),
            boot_id=self.boots[hive_id],
            job_id=job_id,
            attempt=attempt or self.job(job_id).attempt,
        )
        granted: list[Grant] = self.do(lambda tx: claims.claim(tx, hive_id, request))
        return granted[0]

    def claim_lanes(self, hive_id: str, claim_id: str | None = None, **lanes: int) -> list[Grant]:
        request = ClaimRequest(
            claim_id=claim_id or new_claim_id(),
            boot_id=self.boots[hive_id],
            lanes={Lane(lane): free for lane, free in lanes.items()},
        )
        granted: list[Grant] = self.do(lambda tx: claims.claim(tx, hive_id, request))
        return granted

    def finish(self, hive_id: str, grant: Grant, outcome: Outcome = Outcome.COMPLETED, **more: Any) -> Job:
        values = {"claim_id": grant.claim_id, "outcome": outcome, "last_seq": 0, **more}
        report = OutcomeReport(**values)
        job: Job = self.do(lambda tx: attempts.finish(tx, grant.job_id, grant.attempt, hive_id, report))
        return job

    def running(self, hive_id: str, **submitted: Any) -> Grant:
        return self.claim(hive_id, self.submit(**{"hive": hive_id, **submitted}))

    def lose(self, job_id: str) -> Job:
        def what(tx: Transaction) -> Job:
            job = jobs.get(tx, job_id)
            jobs.lose(tx, job, "attic was not heard for 30 s.", time.time())
            return job

        lost: Job = self.do(what)
        return lost

    def cancel(self, job_id: str) -> Job:
        return self.do(lambda tx: wishes.cancel(tx, job_id))  # type: ignore[no-any-return]

    def pause(self, job_id: str) -> Job:
        return self.do(lambda tx: wishes.pause(tx, job_id))  # type: ignore[no-any-return]

    def resume(self, job_id: str) -> Job:
        return self.do(lambda tx: wishes.resume(tx, job_id))  # type: ignore[no-any-return]

    def retry(self, job_id: str) -> Job:
        return self.do(lambda tx: wishes.retry(tx, job_id))  # type: ignore[no-any-return]

    def change(self, job_id: str, **values: Any) -> None:
        """Sets columns behind the domain's back: for clocks."""
        with self.database.write() as tx:
            job = tx.session.get(Job, job_id)
            for name, value in values.items():
                setattr(job, name, value)

    # Looking.

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            job = session.get(Job, job_id)
            assert job is not None
            return job

    def children(self, parent_id: str) -> list[Job]:
        with self.database.read() as session:
            return list(session.exec(select(Job).where(Job.parent_id == parent_id).order_by(Job.id)))

    def events(self, job_id: str, kind: str | None = None) -> list[Event]:
        with self.database.read() as session:
            query = select(Event).where(Event.job_id == job_id).order_by(Event.id)  # type: ignore[arg-type]
            return [event for event in session.exec(query) if kind in {None, event.kind}]

    def told(self, kind: type[Tale]) -> list[Any]:
        """Tales of one kind since this was asked last."""
        found = [tale for tale in self.tales if isinstance(tale, kind)]
        self.tales[:] = [tale for tale in self.tales if not isinstance(tale, kind)]
        return found

    def count(self, table: Any) -> int:
        with self.database.read() as session:
            return len(session.exec(select(table)).all())


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Runs all in threads that start together; returns their results, or the errors they raised."""
    gate = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[place] = work()
        except Exception as error:  # noqa: BLE001 - handed to the test
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return results


def random_model() -> str:
    return f"org/{secrets.token_hex(6)}"


def rows(session: Session, table: Any) -> list[Any]:
    return list(session.exec(select(table)))
