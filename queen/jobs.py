"""The one writer of a job's state. See `shared/states.py` for the diagram.

Every function takes an open transaction, makes one legal move, and queues what is to be told after COMMIT.
`attempt` is the fencing token: whatever carries another one is refused or ignored.

Rows are locked in one order everywhere, or PostgreSQL would meet deadlocks: hives by id · parents by id · other jobs by id, a
hive's queued ones oldest first · artifacts of a locked hive · the event counter, last before COMMIT. A hive's row is locked by
whoever decides what it runs: claims, heartbeats, plans, outcomes, removal. On SQLite a write transaction has all rows to itself.
"""

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select

from queen import events
from queen.database import Transaction
from queen.rows import Job
from queen.tales import Control
from shared.errors import Conflict, NotFound
from shared.operations import OPERATIONS
from shared.protocol import OutcomeReport
from shared.states import FINAL, MOVES, RETRYABLE, JobState, Outcome
from shared.timing import LEASE, MAX_LOSSES

NO_REASON = {"code": "failed", "message": "The hive gave no reason."}


def get(tx: Transaction, job_id: str) -> Job:
    """The row, locked for the rest of the transaction; its parent is locked first. Raises NotFound."""
    found = get_all(tx, [job_id])
    if not found:
        raise NotFound("There is no such job.", hint="List the jobs: rbee job ls")
    return found[0]


def get_all(tx: Transaction, job_ids: Collection[str]) -> list[Job]:
    """The rows that are there, by id; locked as by `get`, in the one order that everybody keeps."""
    parents = select(Job.parent_id).where(col(Job.id).in_(job_ids), col(Job.parent_id).is_not(None))
    _lock(tx, [parent_id for parent_id in tx.session.exec(parents) if parent_id])
    return _lock(tx, job_ids)


def _lock(tx: Transaction, job_ids: Collection[str]) -> list[Job]:
    if not job_ids:
        return []
    tx.session.flush()
    query = select(Job).where(col(Job.id).in_(job_ids)).order_by(Job.id).with_for_update()
    return list(tx.session.exec(query.execution_options(populate_existing=True)))


def create(tx: Transaction, job: Job) -> Job:
    tx.session.add(job)
    tx.session.flush()
    events.append(tx, [events.job_changed(job, job.created_at)])
    return job


def claim(
    tx: Transaction, job: Job, *, hive_id: str, claim_id: str, boot_id: str, attempt: int, now: float
) -> bool:
    """queued → running for one claimant; False when somebody was faster or a stop was asked for."""
    tx.session.flush()
    if job.parent_id:
        get(tx, job.id)
    done = tx.session.execute(
        update(Job)
        .where(
            col(Job.id) == job.id,
            col(Job.state) == JobState.QUEUED,
            col(Job.attempt) == attempt,
            col(Job.cancel_requested_at).is_(None),
            col(Job.pause_requested_at).is_(None),
        )
        .values(
            state=JobState.RUNNING,
            hive_id=hive_id,
            claim_id=claim_id,
            boot_id=boot_id,
            lease_expires_at=now + LEASE,
            started_at=job.started_at or now,
            updated_at=now,
            note=None,
        )
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        return False
    tx.session.refresh(job)
    changed = [events.job_changed(job, now)]
    parent = _parent(tx, job)
    if parent and parent.state == JobState.QUEUED:
        _set_state(parent, JobState.RUNNING, now)
        parent.started_at = now
        changed.append(events.job_changed(parent, now))
    events.append(tx, changed)
    return True


def finish(tx: Transaction, job_id: str, attempt: int, hive_id: str, report: OutcomeReport) -> Job:
    """Takes a hive's outcome; the same report again gets the same answer. Raises Conflict for an attempt that is over."""
    job = get(tx, job_id)
    if job.hive_id != hive_id or job.attempt != attempt or job.claim_id != report.claim_id:
        raise Conflict("This attempt is not yours any more.", code="stale_attempt")
    if job.state != JobState.RUNNING:
        return job
    now = time.time()
    job.final_seq = report.last_seq
    match report.outcome:
        case Outcome.COMPLETED:
            job.result, job.error = report.result, None
            _end(tx, job, JobState.COMPLETED, now)
        case Outcome.FAILED:
            fail(tx, job, report.error or NO_REASON, now)
        case Outcome.RELEASED if report.exclude:
            _exclude(tx, job, hive_id, report.error or NO_REASON, now)
        case _:
            back_to_queue(tx, job, now, note="The hive handed it back.")
    return job


def _exclude(tx: Transaction, job: Job, hive_id: str, error: dict[str, Any], now: float) -> None:
    """The hive cannot do it: another one may, unless the job was meant for this one."""
    asked_to_stop = job.cancel_requested_at is not None or job.pause_requested_at is not None
    if job.target.get("hive") == hive_id and not asked_to_stop:
        fail(tx, job, error, now)
        return
    job.excluded = {**job.excluded, hive_id: error["message"]}
    back_to_queue(tx, job, now, note=error["message"])


def fail(tx: Transaction, job: Job, error: dict[str, Any], now: float) -> None:
    job.error = error
    _end(tx, job, JobState.FAILED, now)


def back_to_queue(tx: Transaction, job: Job, now: float, *, note: str) -> None:
    """A release, or a loss that is forgiven; but what was asked to stop stops here and does not run again."""
    if job.cancel_requested_at is not None:
        _end(tx, job, JobState.CANCELLED, now)
    elif job.pause_requested_at is not None:
        _set_state(job, JobState.PAUSED, now)
        job.lease_expires_at = None
        job.note = None
        events.append(tx, [events.job_changed(job, now)])
    else:
        _requeue(job, now, note)
        events.append(tx, [events.job_changed(job, now)])


def lose(tx: Transaction, job: Job, reason: str, now: float) -> None:
    """The attempt is gone without an outcome."""
    job.losses += 1
    asked_to_stop = job.cancel_requested_at is not None or job.pause_requested_at is not None
    if job.losses >= MAX_LOSSES and not asked_to_stop:
        message = f"The job was lost {job.losses} times; the last time: {reason}"
        fail(
            tx,
            job,
            {"code": "lost", "message": message, "hint": "Look at the hive's log, then retry the job."},
            now,
        )
    else:
        back_to_queue(tx, job, now, note=reason)


def request_cancel(tx: Transaction, job: Job, now: float) -> None:
    """Cancels at once what no hive works on; otherwise records the wish, which the hive acknowledges."""
    if job.state in FINAL:
        raise NotFound("The job is finished: there is nothing to cancel.", hint=f"It is {job.state}.")
    if job.cancel_requested_at is None:
        job.cancel_requested_at = job.updated_at = now
        job.note = None
    if job.state != JobState.RUNNING:
        _end(tx, job, JobState.CANCELLED, now)
        return
    events.append(tx, [events.job_changed(job, now)])
    if job.hive_id:
        tx.tales.append(Control(job.hive_id, "cancel", job.id, job.attempt))


def request_cancel_of_all(tx: Transaction, parent: Job, now: float) -> None:
    """Records the wish on a job for all hives; it ends when its children have."""
    if parent.cancel_requested_at is None:
        parent.cancel_requested_at = parent.updated_at = now
        events.append(tx, [events.job_changed(parent, now)])


def request_pause(tx: Transaction, job: Job, now: float) -> None:
    if not OPERATIONS[job.operation].pausable:
        raise Conflict("This kind of job cannot be paused.", hint="Cancel it instead.", code="not_pausable")
    if job.state not in {JobState.QUEUED, JobState.RUNNING} or job.cancel_requested_at is not None:
        raise _wrong_state(job, "paused")
    if job.pause_requested_at is None:
        job.pause_requested_at = job.updated_at = now
    if job.state == JobState.QUEUED:
        _set_state(job, JobState.PAUSED, now)
    elif job.hive_id:
        tx.tales.append(Control(job.hive_id, "pause", job.id, job.attempt))
    events.append(tx, [events.job_changed(job, now)])


def resume(tx: Transaction, job: Job, now: float) -> None:
    if job.state != JobState.PAUSED:
        raise _wrong_state(job, "resumed")
    _requeue(job, now, None)
    events.append(tx, [events.job_changed(job, now)])


def retry(tx: Transaction, job: Job, now: float) -> None:
    if job.state not in RETRYABLE:
        raise _wrong_state(job, "retried")
    job.excluded, job.losses, job.error, job.result, job.finished_at = {}, 0, None, None, None
    _requeue(job, now, None)
    changed = [events.job_changed(job, now)]
    parent = _parent(tx, job)
    if parent and parent.state in RETRYABLE:
        parent.error, parent.finished_at = None, None
        _requeue(parent, now, None)
        _set_state(parent, JobState.RUNNING, now)
        changed.append(events.job_changed(parent, now))
    events.append(tx, changed)


def end_if_told(tx: Transaction, job: Job, now: float, *, gap: str | None = None) -> None:
    """Sends `end` once the last narrated line is a row, or with `gap` stating what is missing.

    A parent's stream carries its children's lines, so its `end` comes after theirs.
    """
    if job.state in FINAL and not job.ended and (_is_told(tx, job) or gap):
        job.ended = True
        events.append(tx, [events.job_ended(job, now, gap)])


def _is_told(tx: Transaction, job: Job) -> bool:
    if not job.is_parent:
        return job.final_seq is None or job.last_seq >= job.final_seq
    tx.session.flush()
    untold = select(Job.id).where(Job.parent_id == job.id, col(Job.ended).is_(False))
    return tx.session.exec(untold.limit(1)).first() is None


def _end(tx: Transaction, job: Job, state: JobState, now: float) -> None:
    _set_state(job, state, now)
    job.finished_at, job.lease_expires_at, job.note = now, None, None
    events.append(tx, [events.job_changed(job, now)])
    end_if_told(tx, job, now)
    parent = _parent(tx, job)
    if parent and parent.state not in FINAL:
        _end_parent(tx, parent, now)


def _end_parent(tx: Transaction, parent: Job, now: float) -> None:
    """Failed if a child failed, else cancelled if one was, once no child is left to run."""
    tx.session.flush()
    states = list(tx.session.exec(select(Job.state).where(Job.parent_id == parent.id)))
    if any(state not in FINAL for state in states):
        return
    failed, cancelled = states.count(JobState.FAILED), states.count(JobState.CANCELLED)
    if failed:
        message = f"{failed} of {len(states)} hives failed."
        fail(
            tx,
            parent,
            {"code": "child_failed", "message": message, "hint": "Look at the jobs of the hives."},
            now,
        )
    else:
        _end(tx, parent, JobState.CANCELLED if cancelled else JobState.COMPLETED, now)


def _parent(tx: Transaction, job: Job) -> Job | None:
    return tx.session.get(Job, job.parent_id) if job.parent_id else None


def _requeue(job: Job, now: float, note: str | None) -> None:
    _set_state(job, JobState.QUEUED, now)
    job.attempt += 1
    job.claim_id = job.boot_id = job.lease_expires_at = job.rung_at = None
    job.cancel_requested_at = job.pause_requested_at = None
    job.last_seq, job.final_seq, job.ended = 0, None, False
    job.note = note
    if "hive" not in job.target:
        job.hive_id = None


def _set_state(job: Job, state: JobState, now: float) -> None:
    if state not in MOVES[JobState(job.state)]:
        raise _wrong_state(job, state)
    job.state, job.updated_at = state, now


def _wrong_state(job: Job, wish: str) -> Conflict:
    return Conflict(
        f"The job is {job.state} and cannot be {wish}.",
        code="wrong_state",
        details=[{"state": str(job.state)}],
    )
