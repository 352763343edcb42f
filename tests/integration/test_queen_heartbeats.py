"""Heartbeats: what they renew, whom they refuse, and what the hive hears in return."""

import time
from typing import Any

import pytest

from queen.rows import Hive
from queen.tales import LiveHive
from shared.errors import Conflict
from shared.ids import new_boot_id
from shared.protocol import HiveSample
from shared.states import JobState, Outcome
from shared.timing import LEASE
from tests.fleet import GIB, Fleet, at_once, facts


def hive_row(fleet: Fleet, hive_id: str) -> Hive:
    with fleet.database.read() as session:
        hive = session.get(Hive, hive_id)
        assert hive is not None
        return hive


def test_a_beat_renews_the_leases_of_what_runs(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.change(grant.job_id, lease_expires_at=time.time() - 5)

    answer = fleet.beat(hive, grant)

    lease = fleet.job(grant.job_id).lease_expires_at
    assert lease is not None
    assert lease > time.time() + LEASE - 5
    assert answer.recorded == {grant.job_id: 0}
    assert answer.lost == []


def test_the_answer_says_what_is_lost(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.lose(grant.job_id)
    unknown = grant.model_copy(update={"job_id": "job-" + "0" * 32})

    answer = fleet.beat(hive, grant, unknown)

    assert {ref.job_id for ref in answer.lost} == {grant.job_id, unknown.job_id}


def test_an_ended_attempt_hears_what_is_recorded_until_its_end_is_out(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.finish(hive, grant, last_seq=2)

    answer = fleet.beat(hive, grant)

    assert answer.recorded == {grant.job_id: 0}
    assert answer.lost == []


def test_the_answer_says_how_much_work_waits_by_lane(fleet: Fleet) -> None:
    hive = fleet.hive()
    fleet.submit("org/a", hive=hive)
    fleet.submit("org/b", capability="cpu")
    fleet.submit("org/c", capability="cuda")
    fleet.submit("org/d", operation="model_verify", hive=hive)

    assert fleet.beat(hive).work == {"download": 2, "other": 1}


def test_a_new_boot_loses_the_old_attempts_at_once_and_rings_again(fleet: Fleet) -> None:
    hive = fleet.hive()
    grants = [fleet.running(hive, model=f"org/m{n}") for n in range(3)]
    old, fleet.boots[hive] = fleet.boots[hive], new_boot_id()

    answer = fleet.beat(hive, first=True, previous_boot_id=old)

    jobs = [fleet.job(grant.job_id) for grant in grants]
    assert {(job.state, job.attempt, job.losses) for job in jobs} == {(JobState.QUEUED, 2, 1)}
    assert answer.lost == []


def test_a_second_process_is_refused_while_the_first_lives(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    stranger = new_boot_id()

    for more in ({}, {"first": True}, {"first": True, "previous_boot_id": new_boot_id()}):
        with pytest.raises(Conflict) as refused:
            fleet.beat(hive, boot_id=stranger, **more)
        assert refused.value.code == "identity_in_use"

    assert fleet.job(grant.job_id).state == JobState.RUNNING
    assert fleet.beat(hive, grant).lost == []


def test_a_hive_that_lost_its_memory_may_come_back_when_nobody_else_is_there(fleet: Fleet) -> None:
    hive = fleet.hive()
    fleet.change_hive(hive, last_seen=time.time() - 60)

    fleet.beat(hive, boot_id=new_boot_id(), first=True)


def test_a_removed_hive_is_told_so(fleet: Fleet) -> None:
    hive = fleet.hive()
    fleet.change_hive(hive, removed_at=time.time())

    with pytest.raises(Conflict) as refused:
        fleet.beat(hive)

    assert refused.value.code == "removed"


def test_facts_artifacts_and_samples_are_taken_over(fleet: Fleet) -> None:
    device = {"id": "GPU-1", "kind": "cuda", "name": "GPU", "memory_total": 8 * GIB, "memory_free": 8 * GIB}
    hive = fleet.hive()
    item = {"kind": "model", "id": "org/repo", "status": "available"}
    fleet.told(LiveHive)

    fleet.beat(
        hive, facts=facts(devices=[device]), artifacts=[item, {"kind": 7}, {"kind": "model", "id": ""}]
    )
    sample = HiveSample(memory_available=1, disk_free=2, devices={"GPU-1": 3})
    fleet.beat(hive, sample=sample)

    known = hive_row(fleet, hive).facts
    assert (known["memory_available"], known["disk_free"], known["devices"][0]["memory_free"]) == (1, 2, 3)
    assert fleet.told(LiveHive) == [LiveHive(hive)]
    with fleet.database.read() as session:
        from queen import artifacts

        assert artifacts.by_hive(session, hive)[hive] == [item]


def test_one_bad_beat_spoils_nobody_elses(fleet: Fleet) -> None:
    good = [fleet.hive(f"good{n}") for n in range(3)]
    bad = fleet.hive("bad", devices=[{"name": "a device without an id"}])
    sample = HiveSample(memory_available=1, disk_free=2)
    huge = [{"kind": "model", "id": "x", "status": "y", "made-of": {1, 2}}]
    for hive in good:
        fleet.change_hive(hive, last_seen=0.0)

    results = at_once(
        *[lambda h=h: fleet.beat(h, sample=sample) for h in [*good, bad]],
        lambda: fleet.beat(bad, artifacts=huge),
    )

    assert isinstance(results[-1], Exception)
    assert not [result for result in results[:-1] if isinstance(result, Exception)]
    assert all((hive_row(fleet, hive).last_seen or 0) > 0 for hive in good)


def test_many_beats_at_once_are_few_commits(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(16)]
    begun = fleet.database._run_begin
    commits: list[float] = []

    def slow_begin() -> Any:
        commits.append(time.monotonic())
        time.sleep(0.05)
        return begun()

    monkeypatch.setattr(fleet.database, "_run_begin", slow_begin)

    results = at_once(*[lambda h=h: fleet.beat(h) for h in hives])

    assert not [result for result in results if isinstance(result, Exception)]
    assert len(commits) < 8


def test_beats_and_outcomes_at_once_do_not_deadlock(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(4)]
    for round_ in range(3):
        grants = {h: [fleet.running(h, model=f"org/{round_}-{n}") for n in range(3)] for h in hives}
        artifacts = [{"kind": "model", "id": f"org/{n}", "status": "available"} for n in range(3)]
        work: list[Any] = []
        for h in hives:
            work.append(lambda h=h, g=grants, a=artifacts: fleet.beat(h, *g[h], artifacts=a))
            work.append(lambda h=h, g=grants, a=artifacts: fleet.finish(h, g[h][0], artifact=a[0]))
            work.append(lambda h=h, g=grants: fleet.finish(h, g[h][1], Outcome.RELEASED))
            work.append(lambda h=h, g=grants: fleet.cancel(g[h][2].job_id))

        results = at_once(*work)

        assert not [result for result in results if isinstance(result, Exception)], results
