"""Every move of a job, on both databases: what is legal, what wins, what is told."""

import time

import pytest

from queen.rows import Artifact, Job
from queen.tales import Control, Ring
from shared.errors import Conflict, NotFound, RbeeError
from shared.states import MOVES, JobState, Outcome
from tests.fleet import GIB, Fleet, at_once

COMPLETED, FAILED, CANCELLED = Outcome.COMPLETED, Outcome.FAILED, Outcome.CANCELLED
RELEASED, PAUSED = Outcome.RELEASED, Outcome.PAUSED
REASON = {"code": "gated", "message": "The repository is gated.", "hint": "Ask for access."}


def brought_to(fleet: Fleet, hive: str, state: JobState, model: str = "org/repo") -> str:
    job_id = fleet.submit(model, hive=hive)
    match state:
        case JobState.RUNNING:
            fleet.claim(hive, job_id)
        case JobState.PAUSED:
            fleet.pause(job_id)
        case JobState.COMPLETED:
            fleet.finish(hive, fleet.claim(hive, job_id))
        case JobState.FAILED:
            fleet.finish(hive, fleet.claim(hive, job_id), FAILED, error=REASON)
        case JobState.CANCELLED:
            fleet.cancel(job_id)
    assert fleet.job(job_id).state == state
    return job_id


LEGAL = [
    ("cancel", JobState.QUEUED, JobState.CANCELLED),
    ("cancel", JobState.RUNNING, JobState.RUNNING),
    ("cancel", JobState.PAUSED, JobState.CANCELLED),
    ("pause", JobState.QUEUED, JobState.PAUSED),
    ("pause", JobState.RUNNING, JobState.RUNNING),
    ("resume", JobState.PAUSED, JobState.QUEUED),
    ("retry", JobState.FAILED, JobState.QUEUED),
    ("retry", JobState.CANCELLED, JobState.QUEUED),
]
WISHES = ["cancel", "pause", "resume", "retry"]
ILLEGAL = [(w, s) for w in WISHES for s in JobState if (w, s) not in {(w, s) for w, s, _ in LEGAL}]


@pytest.mark.parametrize(("wish", "before", "after"), LEGAL)
def test_a_legal_wish_moves_the_job(fleet: Fleet, wish: str, before: JobState, after: JobState) -> None:
    job_id = brought_to(fleet, fleet.hive(), before)
    attempt = fleet.job(job_id).attempt

    getattr(fleet, wish)(job_id)

    job = fleet.job(job_id)
    assert job.state == after
    assert job.attempt == attempt + (wish in {"resume", "retry"})
    assert job.losses == 0


@pytest.mark.parametrize(("wish", "state"), ILLEGAL)
def test_an_illegal_wish_changes_nothing_and_says_the_state(fleet: Fleet, wish: str, state: JobState) -> None:
    job_id = brought_to(fleet, fleet.hive(), state)
    before, told = fleet.job(job_id), len(fleet.events(job_id))

    with pytest.raises(NotFound if wish == "cancel" else Conflict) as refused:
        getattr(fleet, wish)(job_id)

    assert state in str(refused.value.as_dict())
    assert fleet.job(job_id) == before
    assert len(fleet.events(job_id)) == told


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (COMPLETED, JobState.COMPLETED),
        (FAILED, JobState.FAILED),
        (RELEASED, JobState.QUEUED),
        (CANCELLED, JobState.QUEUED),
        (PAUSED, JobState.QUEUED),
    ],
)
def test_an_outcome_that_nobody_asked_to_stop(fleet: Fleet, outcome: Outcome, state: JobState) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)

    job = fleet.finish(hive, grant, outcome, error=REASON if outcome == FAILED else None)

    assert job.state == state
    assert job.attempt == (2 if state == JobState.QUEUED else 1)
    assert job.losses == 0


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(COMPLETED, JobState.COMPLETED), (FAILED, JobState.FAILED)]
    + [(outcome, JobState.CANCELLED) for outcome in (CANCELLED, PAUSED, RELEASED)],
)
def test_an_outcome_that_arrives_first_beats_a_cancel_and_any_other_acknowledges_it(
    fleet: Fleet, outcome: Outcome, state: JobState
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.cancel(grant.job_id)

    assert fleet.finish(hive, grant, outcome).state == state
    assert len(fleet.events(grant.job_id, "end")) == 1


def test_a_cancel_beats_a_pause_asked_before_and_after(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)

    fleet.pause(grant.job_id)
    fleet.cancel(grant.job_id)
    with pytest.raises(Conflict):
        fleet.pause(grant.job_id)
    answer = fleet.beat(hive, grant)

    assert [ref.job_id for ref in answer.cancel] == [grant.job_id]
    assert answer.pause == []
    assert fleet.finish(hive, grant, PAUSED).state == JobState.CANCELLED


def test_a_wish_reaches_the_running_hive_once_by_its_control_channel(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)

    fleet.pause(grant.job_id)
    fleet.cancel(grant.job_id)

    assert fleet.told(Control) == [
        Control(hive, "pause", grant.job_id, 1),
        Control(hive, "cancel", grant.job_id, 1),
    ]


def test_a_paused_job_that_is_resumed_forgets_the_wish(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.pause(grant.job_id)
    assert fleet.finish(hive, grant, PAUSED).state == JobState.PAUSED

    fleet.resume(grant.job_id)
    again = fleet.claim(hive, grant.job_id)

    assert again.attempt == 2
    assert fleet.events(grant.job_id, "end") == []


def test_what_is_not_pausable_says_so(fleet: Fleet) -> None:
    job_id = fleet.submit(operation="model_delete", hive=fleet.hive())

    with pytest.raises(Conflict, match="cannot be paused"):
        fleet.pause(job_id)


def test_the_same_outcome_again_gets_the_same_answer_and_changes_nothing(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    artifact = {"kind": "model", "id": "org/repo", "status": "available"}

    first = fleet.finish(hive, grant, artifact=artifact)
    fleet.do(lambda tx: tx.session.delete(tx.session.get(Artifact, (hive, "model", "org/repo"))))
    told = len(fleet.events(grant.job_id))
    second = fleet.finish(hive, grant, FAILED, error=REASON, artifact=artifact)

    assert (first.state, second.state) == (JobState.COMPLETED, JobState.COMPLETED)
    assert len(fleet.events(grant.job_id)) == told
    assert fleet.count(Artifact) == 0, "an old outcome told what is gone by now"


@pytest.mark.parametrize("stale", ["attempt", "claim", "hive"])
def test_a_stale_outcome_is_refused(fleet: Fleet, stale: str) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar")
    grant = fleet.running(hive)
    if stale == "attempt":
        fleet.lose(grant.job_id)
        fleet.claim(hive, grant.job_id)
    if stale == "claim":
        grant = grant.model_copy(update={"claim_id": "claim-" + "0" * 24})
    before = fleet.job(grant.job_id)

    with pytest.raises(Conflict) as refused:
        fleet.finish(other if stale == "hive" else hive, grant)

    assert refused.value.code == "stale_attempt"
    assert fleet.job(grant.job_id) == before


def test_three_losses_fail_the_job_with_the_reason(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)

    for attempt in (1, 2, 3):
        assert fleet.claim(hive, job_id).attempt == attempt
        fleet.lose(job_id)

    job = fleet.job(job_id)
    assert (job.state, job.losses, job.attempt) == (JobState.FAILED, 3, 3)
    assert job.error is not None
    assert "attic was not heard" in job.error["message"]
    assert job.error["hint"]
    assert len(fleet.events(job_id, "end")) == 1


def test_a_loss_while_a_stop_was_asked_is_the_stop(fleet: Fleet) -> None:
    hive = fleet.hive()
    cancelled, paused = fleet.running(hive), fleet.running(hive, model="org/other")
    fleet.cancel(cancelled.job_id)
    fleet.pause(paused.job_id)

    fleet.lose(cancelled.job_id)
    fleet.lose(paused.job_id)

    assert fleet.job(cancelled.job_id).state == JobState.CANCELLED
    assert fleet.job(paused.job_id).state == JobState.PAUSED


def test_a_release_that_excludes_the_hive_goes_to_another_one(fleet: Fleet) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar", online=False)
    job_id = fleet.submit()
    grant = fleet.claim(hive, job_id)
    fleet.change_hive(other, last_seen=time.time())

    fleet.finish(hive, grant, RELEASED, exclude=True, error={"code": "no_room", "message": "No room."})

    job = fleet.job(job_id)
    assert (job.state, job.hive_id, job.attempt, job.losses) == (JobState.QUEUED, other, 2, 0)
    assert job.excluded == {hive: "No room."}
    with pytest.raises(Conflict) as refused:
        fleet.claim(hive, job_id)
    assert refused.value.code in {"placed_elsewhere", "filter_excluded"}


def test_a_release_of_the_only_hive_it_is_meant_for_fails_the_job(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)

    job = fleet.finish(hive, grant, RELEASED, exclude=True, error={"code": "no_room", "message": "No room."})

    assert job.state == JobState.FAILED
    assert job.error == {"code": "no_room", "message": "No room."}


def test_a_retry_forgets_what_went_wrong(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.finish(hive, grant, FAILED, error=REASON)

    job = fleet.retry(grant.job_id)

    assert (job.error, job.excluded, job.losses, job.attempt) == (None, {}, 0, 2)
    assert fleet.told(Ring)[-1].attempt == 2


def test_nothing_moves_that_the_table_of_moves_forbids() -> None:
    assert set(MOVES) == set(JobState)
    assert MOVES[JobState.COMPLETED] == frozenset()
    assert all(JobState.RUNNING not in moves for state, moves in MOVES.items() if state != JobState.QUEUED)


# The end.


def test_the_end_waits_for_the_last_line(fleet: Fleet) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)

    fleet.finish(hive, grant, last_seq=3)

    assert fleet.job(grant.job_id).state == JobState.COMPLETED
    assert fleet.events(grant.job_id, "end") == []


def test_ids_are_in_commit_order_however_many_write(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(6)]

    errors = at_once(
        *[lambda hive=hive: [fleet.running(hive, model=f"o/{n}") for n in range(5)] for hive in hives]
    )

    assert not [error for error in errors if isinstance(error, Exception)]
    with fleet.database.read() as session:
        from queen.events import after, newest_id

        rows = after(session, 0, jobs=None, hive_id=None, limit=1000)
        newest = newest_id(session)
    assert [row["id"] for row in rows] == list(range(1, newest + 1))


# A job for all hives.


def test_a_job_for_all_hives_has_a_child_for_each_that_fits(fleet: Fleet) -> None:
    fits = {fleet.hive("a"), fleet.hive("b")}
    fleet.hive("offline", online=False)
    fleet.hive("old", protocol=0)

    parent = fleet.submit(all=True)

    assert {child.hive_id for child in fleet.children(parent)} == fits
    assert fleet.job(parent).is_parent


def test_without_a_hive_that_fits_there_is_no_job_and_the_answer_says_why(fleet: Fleet) -> None:
    fleet.hive("offline", online=False)

    with pytest.raises(Conflict) as refused:
        fleet.submit(all=True)

    assert refused.value.details is not None
    assert refused.value.details[0]["filter"] == "online"
    assert fleet.count(Job) == 0


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ((COMPLETED, COMPLETED), JobState.COMPLETED),
        ((COMPLETED, FAILED), JobState.FAILED),
        ((CANCELLED, COMPLETED), JobState.CANCELLED),
        ((CANCELLED, FAILED), JobState.FAILED),
    ],
)
def test_the_parent_ends_as_its_children_do(
    fleet: Fleet, outcomes: tuple[Outcome, Outcome], state: JobState
) -> None:
    for name in "ab":
        fleet.hive(name)
    parent = fleet.submit(all=True)
    grants = [(child.hive_id, fleet.claim(str(child.hive_id), child.id)) for child in fleet.children(parent)]
    assert fleet.job(parent).state == JobState.RUNNING

    for (hive, grant), outcome in zip(grants, outcomes, strict=True):
        assert fleet.job(parent).state == JobState.RUNNING
        if outcome == CANCELLED:
            fleet.cancel(grant.job_id)
        fleet.finish(str(hive), grant, outcome, error=REASON if outcome == FAILED else None)

    assert fleet.job(parent).state == state
    assert len(fleet.events(parent, "end")) == 1


def test_children_that_end_at_the_same_moment_end_the_parent_once(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(6)]
    for round_ in range(3):
        parent = fleet.submit(f"org/model-{round_}", all=True)
        grants = {str(c.hive_id): fleet.claim(str(c.hive_id), c.id) for c in fleet.children(parent)}

        results = at_once(*[lambda h=h, g=grants: fleet.finish(h, g[h]) for h in hives])

        assert not [result for result in results if isinstance(result, Exception)]
        assert fleet.job(parent).state == JobState.COMPLETED
        assert len(fleet.events(parent, "end")) == 1


def test_a_cancel_of_all_races_with_its_children_without_deadlock(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(4)]
    for round_ in range(4):
        parent = fleet.submit(f"org/model-{round_}", all=True)
        children = {str(c.hive_id): c.id for c in fleet.children(parent)}
        grants = {hive: fleet.claim(hive, children[hive]) for hive in hives[:2]}

        results = at_once(
            lambda p=parent: fleet.cancel(p),
            *[lambda h=h, g=grants: fleet.finish(h, g[h], CANCELLED) for h in hives[:2]],
            *[lambda h=h, c=children: fleet.claim(h, c[h]) for h in hives[2:]],
            *[lambda h=h, g=grants: fleet.beat(h, g[h]) for h in hives[:2]],
        )

        assert not [r for r in results if isinstance(r, Exception) and not isinstance(r, RbeeError)], results
        assert fleet.job(parent).cancel_requested_at is not None
        for child in fleet.children(parent):
            if child.state == JobState.QUEUED:
                fleet.cancel(child.id)
            elif child.state == JobState.RUNNING:
                fleet.lose(child.id)
        assert fleet.job(parent).state == JobState.CANCELLED
        assert len(fleet.events(parent, "end")) == 1


def test_wishes_of_a_parent_go_to_the_children_they_fit(fleet: Fleet) -> None:
    first, _ = fleet.hive("a"), fleet.hive("b")
    parent = fleet.submit(all=True)
    mine = next(child for child in fleet.children(parent) if child.hive_id == first)
    fleet.finish(first, fleet.claim(first, mine.id), FAILED, error=REASON)

    fleet.pause(parent)
    states = sorted(child.state for child in fleet.children(parent))
    fleet.resume(parent)
    fleet.retry(parent)

    assert states == ["failed", "paused"]
    assert {child.state for child in fleet.children(parent)} == {"queued"}
    with pytest.raises(Conflict):
        fleet.retry(parent)


def test_a_child_that_is_retried_makes_an_ended_parent_run_again(fleet: Fleet) -> None:
    hive = fleet.hive()
    parent = fleet.submit(all=True)
    child = fleet.children(parent)[0]
    fleet.finish(hive, fleet.claim(hive, child.id), FAILED, error=REASON)
    assert fleet.job(parent).state == JobState.FAILED

    fleet.retry(child.id)
    fleet.finish(hive, fleet.claim(hive, child.id))

    assert fleet.job(parent).state == JobState.COMPLETED
    assert [event.attempt for event in fleet.events(parent, "end")] == [1, 2]


def test_a_plan_is_kept_and_says_whether_it_fits(fleet: Fleet) -> None:
    from queen import attempts
    from shared.plan import Plan, PlannedFile
    from shared.protocol import PlanReport

    hive = fleet.hive(disk_free=10 * GIB)
    grant = fleet.running(hive)
    file = PlannedFile(path="m.gguf", url="https://h/m.gguf", size=20 * GIB)
    plan = Plan(vendor="url", model="org/repo", files=[file])
    report = PlanReport(claim_id=grant.claim_id, plan=plan, size=20 * GIB)

    verdict = fleet.do(lambda tx: attempts.store_plan(tx, grant.job_id, 1, hive, report))

    assert verdict.filter == "disk"
    assert fleet.job(grant.job_id).size == 20 * GIB
    stale = report.model_copy(update={"claim_id": "claim-" + "0" * 24})
    with pytest.raises(Conflict):
        fleet.do(lambda tx: attempts.store_plan(tx, grant.job_id, 1, hive, stale))


def test_the_same_idempotency_key_at_the_same_moment_is_one_job(fleet: Fleet) -> None:
    from queen import submission

    fleet.hive()
    bodies = [
        {"operation": "model_download", "model": "org/repo", "target": {"capability": "cpu"}},
        {"operation": "model_verify", "model": "org/repo", "target": {"capability": "cpu"}},
    ]

    def submit(body: dict[str, object]) -> str:
        wanted = submission.parse(body)
        job: Job = fleet.do(lambda tx: submission.submit(tx, wanted, principal="admin", idempotency_key="k"))
        return job.id

    same = at_once(*[lambda: submit(bodies[0]) for _ in range(4)])
    mixed = at_once(*[lambda b=body: submit(b) for body in bodies])

    assert len(set(same)) == 1
    assert same[0] in mixed
    assert [type(result).__name__ for result in mixed if not isinstance(result, str)] == ["Unprocessable"]
    assert fleet.count(Job) == 1
