"""Places a queued job and rings for it. A ring is a hint: losing, delaying or doubling one is harmless.

The shared queue of a capability is rung once an attempt: the heartbeat's answer tells a capable hive that comes later.
"""

from typing import Any

from sqlmodel import Session, col, func, select

from queen import hives
from queen.database import Transaction
from queen.hives import bytes_done
from queen.placement import Decision, Wanted, place
from queen.rows import Hive, Job
from queen.tales import Ring
from shared.routing import hive_queue
from shared.states import JobState

AT_ONCE = 8
"""Waiting jobs that are rung for when a resource becomes free; the rest hear of it when these end."""


def wanted(job: Job) -> Wanted:
    return Wanted(
        operation=job.operation,
        size=job.size if job.writes else None,
        done=bytes_done(job.progress),
        hive=job.target.get("hive"),
        capability=job.capability,
        excluded=job.excluded,
    )


def decide(session: Session, job: Job, now: float) -> Decision:
    return place(wanted(job), hives.candidates(session, now, job.resource))


def _decide_one(session: Session, job: Job, hive_id: str, now: float) -> Decision:
    """The same where the target leaves no choice: nobody else needs a look."""
    hive = session.get(Hive, hive_id)
    here = [hives.candidate(session, hive, job, now)] if hive and hive.removed_at is None else []
    return place(wanted(job), here)


def send(tx: Transaction, job: Job, now: float) -> None:
    """Chooses a hive where the target leaves a choice, and rings at it, or at the shared queue when none fits."""
    if job.state != JobState.QUEUED or job.is_parent:
        return
    tx.session.flush()
    target = job.target.get("hive")
    decision = _decide_one(tx.session, job, target, now) if target else decide(tx.session, job, now)
    if job.capability:
        job.hive_id = decision.choice
    job.note = None if decision.choice else _why_it_waits(job, decision)
    first, job.rung_at = job.rung_at is None, now
    if decision.choice and _has_room(tx.session, decision.choice, job.lane):
        tx.tales.append(Ring(job.operation, hive_queue(decision.choice), job.id, job.attempt))
    elif job.capability and first and not decision.choice:
        tx.tales.append(Ring(job.operation, job.capability, job.id, job.attempt))


def _has_room(session: Session, hive_id: str, lane: str) -> bool:
    """Whether a ring would be heeded: a hive whose lane is full asks by itself when a place becomes free."""
    hive = session.get(Hive, hive_id)
    width = (hive.facts.get("lanes") or {}).get(lane, 1) if hive else 1
    running = select(func.count()).where(
        Job.state == JobState.RUNNING, Job.hive_id == hive_id, Job.lane == lane
    )
    return session.exec(running).one() < width


def send_waiting_for(tx: Transaction, hive_id: str, resource: str, now: float) -> None:
    """Rings for the jobs of a hive that waited for a resource which somebody has just let go."""
    query = select(Job).where(Job.state == JobState.QUEUED, Job.hive_id == hive_id, Job.resource == resource)
    for job in tx.session.exec(query.order_by(col(Job.created_at), col(Job.id)).limit(AT_ONCE)):
        send(tx, job, now)


def why(session: Session, job: Job, now: float) -> dict[str, Any]:
    """What decides about the job now: each hive, the filter that failed, and what would make it pass."""
    decision = decide(session, job, now)
    return {
        "job_id": job.id,
        "state": job.state,
        "placed_on": job.hive_id,
        "note": job.note,
        **decision.as_dict(),
    }


def _why_it_waits(job: Job, decision: Decision) -> str:
    if target := job.target.get("hive"):
        verdict = next((verdict for verdict in decision.verdicts if verdict.hive_id == target), None)
        return (
            f"Waits for {verdict.name}: {verdict.reason}"
            if verdict
            else "Waits for a hive that left the fleet."
        )
    return f"Waits for a hive with {job.capability} that fits."
