"""What a person asks of a job: cancel, pause, resume, retry. Asked of a job for all hives, it goes to each child it fits."""

import time
from collections.abc import Callable

from sqlmodel import select

from queen import dispatch, jobs
from queen.database import Transaction
from queen.rows import Hive, Job
from shared.errors import Conflict, NotFound
from shared.states import ACTIVE, FINAL, RETRYABLE, JobState

Wish = Callable[[Transaction, Job, float], None]


def cancel(tx: Transaction, job_id: str) -> Job:
    """Raises NotFound for a finished job."""
    job = jobs.get(tx, job_id)
    now = time.time()
    if not job.is_parent:
        jobs.request_cancel(tx, job, now)
        return job
    if job.state in FINAL:
        raise NotFound("The job is finished: there is nothing to cancel.", hint=f"It is {job.state}.")
    jobs.request_cancel_of_all(tx, job, now)
    for child in _children(tx, job, frozenset(JobState) - FINAL):
        jobs.request_cancel(tx, child, now)
    return job


def pause(tx: Transaction, job_id: str) -> Job:
    return _ask(tx, job_id, jobs.request_pause, ACTIVE)


def resume(tx: Transaction, job_id: str) -> Job:
    return _ask(tx, job_id, _resume, frozenset({JobState.PAUSED}))


def retry(tx: Transaction, job_id: str) -> Job:
    return _ask(tx, job_id, _retry, RETRYABLE)


def _ask(tx: Transaction, job_id: str, wish: Wish, states: frozenset[JobState]) -> Job:
    job = jobs.get(tx, job_id)
    now = time.time()
    if not job.is_parent:
        wish(tx, job, now)
        return job
    children = _children(tx, job, states)
    if not children:
        raise Conflict(
            f"The job is {job.state}; none of its hives is in a state for that.", code="wrong_state"
        )
    for child in children:
        wish(tx, child, now)
    return job


def _resume(tx: Transaction, job: Job, now: float) -> None:
    _has_a_hive(tx, job)
    jobs.resume(tx, job, now)
    dispatch.send(tx, job, now)


def _retry(tx: Transaction, job: Job, now: float) -> None:
    _has_a_hive(tx, job)
    jobs.retry(tx, job, now)
    dispatch.send(tx, job, now)


def _has_a_hive(tx: Transaction, job: Job) -> None:
    """Raises Conflict when the one hive it is meant for was removed."""
    target = job.target.get("hive")
    hive = tx.session.get(Hive, target) if target else None
    if target and (hive is None or hive.removed_at is not None):
        raise Conflict(
            "The hive of this job was removed from the fleet.",
            code="hive_removed",
            hint="Submit the job again for another hive.",
        )


def _children(tx: Transaction, parent: Job, states: frozenset[JobState]) -> list[Job]:
    query = select(Job).where(Job.parent_id == parent.id).order_by(Job.id).with_for_update()
    return [
        child
        for child in tx.session.exec(query)
        if child.state in states and (child.state in FINAL or child.cancel_requested_at is None)
    ]
