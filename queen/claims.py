"""Claims: a hive asks for a job by name, or for as many as its lanes have room for. The queen decides, in one transaction."""

import time
from collections.abc import Iterator, Mapping

from sqlmodel import col, or_, select

from queen import hives, jobs
from queen.database import Transaction
from queen.dispatch import wanted
from queen.placement import Verdict, judge
from queen.rows import Hive, Job
from shared.errors import Conflict
from shared.operations import Lane
from shared.protocol import ClaimRequest, Grant
from shared.states import JobState
from shared.timing import LEASE

SCAN = 200
"""Waiting jobs looked at, oldest first, when a hive asks for work of one lane."""


def claim(tx: Transaction, hive_id: str, request: ClaimRequest) -> list[Grant]:
    """The granted attempts. Raises Conflict with the reason when a job asked for by name may not be had."""
    now = time.time()
    hive = _lock_hive(tx, hive_id, request.boot_id)
    if again := _granted_before(tx, hive, request.claim_id):
        return again
    if request.job_id is not None:
        return [_claim_named(tx, hive, request, now)]
    return list(_claim_oldest(tx, hive, request, now))


def _lock_hive(tx: Transaction, hive_id: str, boot_id: str) -> Hive:
    hive = hives.lock(tx, hive_id)
    if hive.boot_id is not None and hive.boot_id != boot_id:
        raise Conflict("Another process uses this hive's identity.", code="identity_in_use")
    return hive


def _granted_before(tx: Transaction, hive: Hive, claim_id: str) -> list[Grant]:
    rows = tx.session.exec(
        select(Job).where(Job.claim_id == claim_id, Job.hive_id == hive.id, Job.state == JobState.RUNNING)
    )
    return [_grant(job) for job in rows]


def _claim_named(tx: Transaction, hive: Hive, request: ClaimRequest, now: float) -> Grant:
    job = tx.session.get(Job, request.job_id)
    if job is None:
        raise Conflict("There is no such job.", code="gone")
    if job.state != JobState.QUEUED or job.attempt != request.attempt:
        raise Conflict(f"The job is {job.state}, attempt {job.attempt}.", code="not_claimable")
    if job.hive_id is not None and job.hive_id != hive.id:
        raise Conflict("The job is placed on another hive.", code="placed_elsewhere")
    verdict = _fits(tx, hive, job, now)
    if not verdict.fits:
        raise Conflict(verdict.reason or "This hive does not fit.", code=f"filter_{verdict.filter}")
    if _resource_is_taken(tx, hive, job):
        raise Conflict("Another job of this hive uses the same thing.", code="resource_busy")
    return _take(tx, hive, job, request, now) or _gone(job)


def _claim_oldest(tx: Transaction, hive: Hive, request: ClaimRequest, now: float) -> Iterator[Grant]:
    promises: dict[str, int] | None = None
    for lane, free in sorted((request.lanes or {}).items()):
        granted = 0
        for job in _waiting(tx, hive, lane):
            if granted >= free:
                break
            if job.size is not None and promises is None:
                promises = hives.promised(tx.session, hive.id)
            if not _fits(tx, hive, job, now, promises).fits or _resource_is_taken(tx, hive, job):
                continue
            if grant := _take(tx, hive, job, request, now):
                if promises is not None:
                    promises[job.id] = hives.bytes_left(job.size, job.progress)
                granted += 1
                yield grant


def _fits(
    tx: Transaction, hive: Hive, job: Job, now: float, promises: Mapping[str, int] | None = None
) -> Verdict:
    """It asks us, so it is there, whatever its last heartbeat says."""
    return judge(wanted(job), hives.candidate(tx.session, hive, job, now, promises), ignore_online=True)


def _waiting(tx: Transaction, hive: Hive, lane: Lane) -> Iterator[Job]:
    """Oldest first; a row is read when it is looked at, for the first ones usually do."""
    capabilities = hive.facts.get("capabilities", [])
    open_to_it = (col(Job.hive_id).is_(None)) & (col(Job.capability).in_(capabilities))
    query = (
        select(Job.id)
        .where(Job.state == JobState.QUEUED, Job.lane == lane, col(Job.is_parent).is_(False))
        .where(or_(col(Job.hive_id) == hive.id, open_to_it))
        .where(col(Job.cancel_requested_at).is_(None), col(Job.pause_requested_at).is_(None))
    )
    for job_id in tx.session.exec(query.order_by(col(Job.created_at), col(Job.id)).limit(SCAN)).all():
        if job := tx.session.get(Job, job_id):
            yield job


def _resource_is_taken(tx: Transaction, hive: Hive, job: Job) -> bool:
    """Readers share a resource; a writer has it alone."""
    running = tx.session.exec(
        select(Job.writes).where(
            Job.state == JobState.RUNNING,
            Job.hive_id == hive.id,
            Job.resource == job.resource,
            Job.id != job.id,
        )
    )
    return any(job.writes or other_writes for other_writes in running)


def _take(tx: Transaction, hive: Hive, job: Job, request: ClaimRequest, now: float) -> Grant | None:
    taken = jobs.claim(
        tx,
        job,
        hive_id=hive.id,
        claim_id=request.claim_id,
        boot_id=request.boot_id,
        attempt=job.attempt,
        now=now,
    )
    return _grant(job) if taken else None


def _gone(job: Job) -> Grant:
    raise Conflict(f"The job is {job.state}, or asked to stop.", code="not_claimable")


def _grant(job: Job) -> Grant:
    assert job.claim_id is not None
    return Grant(
        job_id=job.id,
        attempt=job.attempt,
        claim_id=job.claim_id,
        operation=job.operation,
        params=job.params,
        plan=job.plan,
        lease=LEASE,
    )
