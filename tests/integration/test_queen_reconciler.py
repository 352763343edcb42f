"""The reconciler mends what messages and machines lost."""

import time

import pytest

from queen import joining
from queen.reconciler import Reconciler
from queen.rows import Event, Hive, Job
from queen.tales import LiveHive, Ring
from shared.errors import Conflict, NotFound
from shared.routing import hive_queue
from shared.states import JobState, Outcome
from shared.timing import LEASE, OFFLINE_AFTER
from tests.fleet import Fleet


@pytest.fixture
def reconciler(fleet: Fleet) -> Reconciler:
    made = Reconciler(fleet.database, retention_days=30, retention_jobs=100)
    made.tick()
    fleet.tales.clear()
    return made


def rings(fleet: Fleet) -> list[tuple[str, int]]:
    return [(ring.queue, ring.attempt) for ring in fleet.told(Ring)]


def offline(fleet: Fleet, hive: str) -> None:
    fleet.change_hive(hive, last_seen=time.time() - OFFLINE_AFTER - 1)


def test_what_nobody_claimed_is_rung_again_at_most_every_thirty_seconds(
    fleet: Fleet, reconciler: Reconciler
) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    assert rings(fleet) == [(hive_queue(hive), 1)]

    reconciler.tick()
    too_soon = rings(fleet)
    fleet.change(job_id, rung_at=time.time() - 31)
    reconciler.tick()
    reconciler.tick()

    assert too_soon == []
    assert rings(fleet) == [(hive_queue(hive), 1)]


def test_nothing_is_rung_at_a_hive_that_is_offline(fleet: Fleet, reconciler: Reconciler) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    fleet.told(Ring)
    offline(fleet, hive)
    fleet.change(job_id, rung_at=time.time() - 31)

    reconciler.tick()

    assert rings(fleet) == []
    assert "attic" in str(fleet.job(job_id).note)
    assert fleet.job(job_id).hive_id == hive


def test_the_shared_queue_is_rung_once_an_attempt(fleet: Fleet, reconciler: Reconciler) -> None:
    job_id = fleet.submit(capability="cuda")
    assert rings(fleet) == [("cuda", 1)]

    for _ in range(3):
        fleet.change(job_id, rung_at=time.time() - 31)
        reconciler.tick()

    assert rings(fleet) == []
    assert fleet.job(job_id).note == "Waits for a hive with cuda that fits."


def test_a_placement_on_a_hive_that_went_away_is_undone_and_told(
    fleet: Fleet, reconciler: Reconciler
) -> None:
    gone = fleet.hive()
    job_id = fleet.submit()
    assert fleet.job(job_id).hive_id == gone
    offline(fleet, gone)
    other = fleet.hive("cellar")
    fleet.told(Ring)
    before = len(fleet.events(job_id, "job"))

    reconciler.tick()

    assert fleet.job(job_id).hive_id == other
    assert rings(fleet) == [(hive_queue(other), 1)]
    assert len(fleet.events(job_id, "job")) == before + 1


def test_an_expired_lease_is_a_loss(fleet: Fleet, reconciler: Reconciler) -> None:
    hive, _ = fleet.hive(), fleet.hive("somebody else is heard")
    grant = fleet.running(hive)
    fleet.change(grant.job_id, lease_expires_at=time.time() - 1)

    reconciler.tick()

    job = fleet.job(grant.job_id)
    assert (job.state, job.attempt, job.losses) == (JobState.QUEUED, 2, 1)
    with pytest.raises(Conflict):
        fleet.finish(hive, grant)


def test_while_nobody_is_heard_nothing_expires(fleet: Fleet, reconciler: Reconciler) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    offline(fleet, hive)
    fleet.change(grant.job_id, lease_expires_at=time.time() - 1)

    reconciler.tick()

    lease = fleet.job(grant.job_id).lease_expires_at
    assert fleet.job(grant.job_id).state == JobState.RUNNING
    assert lease is not None
    assert lease > time.time() + LEASE - 5


@pytest.mark.parametrize("why", ["start", "gap"])
def test_after_a_start_or_a_gap_every_lease_gets_one_more_term(
    fleet: Fleet, reconciler: Reconciler, why: str
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.change(grant.job_id, lease_expires_at=time.time() - 100)
    if why == "start":
        reconciler = Reconciler(fleet.database, retention_days=30, retention_jobs=100)
    else:
        reconciler._ticked_at = time.time() - 60

    reconciler.tick()
    first = fleet.job(grant.job_id).state
    fleet.change(grant.job_id, lease_expires_at=time.time() - 1)
    reconciler.tick()

    assert first == JobState.RUNNING
    assert fleet.job(grant.job_id).state == JobState.QUEUED


def test_an_end_that_waited_too_long_goes_out_with_the_gap(fleet: Fleet, reconciler: Reconciler) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.finish(hive, grant, last_seq=4)
    reconciler.tick()
    assert fleet.events(grant.job_id, "end") == []

    fleet.change(grant.job_id, finished_at=time.time() - 31)
    reconciler.tick()
    reconciler.tick()

    ends = fleet.events(grant.job_id, "end")
    assert [end.text for end in ends] == ["The last 4 lines of the narration are missing."]


def test_a_hive_that_left_is_told_once(fleet: Fleet, reconciler: Reconciler) -> None:
    hive = fleet.hive()
    reconciler.tick()
    offline(fleet, hive)
    fleet.told(LiveHive)

    reconciler.tick()
    reconciler.tick()

    assert fleet.told(LiveHive) == [LiveHive(hive)]


def test_retention_forgets_by_age_and_by_number_but_nothing_that_lives(fleet: Fleet) -> None:
    hive = fleet.hive()
    ended = []
    for number in range(5):
        grant = fleet.running(hive, model=f"org/m{number}")
        fleet.finish(hive, grant)
        fleet.change(grant.job_id, finished_at=time.time() - 100 + number)
        ended.append(grant.job_id)
    fleet.change(ended[4], finished_at=time.time() - 40 * 86400)
    living = fleet.submit("org/living", hive=hive)
    fleet.change(living, created_at=time.time() - 400 * 86400)

    Reconciler(fleet.database, retention_days=30, retention_jobs=2).tick()

    with fleet.database.read() as session:
        from sqlmodel import select

        left = set(session.exec(select(Job.id)))
        told = set(session.exec(select(Event.job_id)))
    assert left == {ended[2], ended[3], living}
    assert told == left


# A hive that is removed.


def test_a_removed_hive_takes_its_jobs_with_it_but_not_what_may_run_elsewhere(fleet: Fleet) -> None:
    hive = fleet.hive()
    running, paused = fleet.running(hive), fleet.submit("org/paused", hive=hive)
    fleet.pause(paused)
    anywhere = fleet.submit("org/anywhere")
    other = fleet.hive("cellar")
    assert fleet.job(anywhere).hive_id == hive

    fleet.do(lambda tx: joining.remove(tx, hive))

    for job_id in (running.job_id, paused):
        job = fleet.job(job_id)
        assert job.state == JobState.FAILED
        assert job.error is not None
        assert "removed" in job.error["message"]
        assert len(fleet.events(job_id, "end")) == 1
    assert (fleet.job(anywhere).state, fleet.job(anywhere).hive_id) == (JobState.QUEUED, other)
    with pytest.raises(Conflict) as refused:
        fleet.finish(hive, running, Outcome.COMPLETED)
    assert refused.value.code == "removed"


def test_what_came_while_a_hive_was_removed_fails_too(fleet: Fleet, reconciler: Reconciler) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    fleet.change_hive(hive, removed_at=time.time())

    reconciler.tick()

    assert fleet.job(job_id).state == JobState.FAILED


def test_nothing_is_submitted_or_retried_for_a_removed_hive(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    fleet.do(lambda tx: joining.remove(tx, hive))

    with pytest.raises(NotFound):
        fleet.submit(hive=hive)
    with pytest.raises(Conflict) as refused:
        fleet.retry(job_id)

    assert refused.value.code == "hive_removed"
    assert fleet.count(Hive) == 1
