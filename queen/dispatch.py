"""Places a queued job and rings for it. A ring is a hint: losing, delaying or doubling one is harmless."""

from typing import Any

from sqlmodel import Session

from queen import hives
from queen.database import Transaction
from queen.hives import bytes_done
from queen.placement import Decision, Wanted, place
from queen.rows import Job
from queen.tales import Ring
from shared.routing import hive_queue
from shared.states import JobState


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


def send(tx: Transaction, job: Job, now: float) -> None:
    """Chooses a hive where the target leaves a choice, and rings at it, or at the shared queue when none fits."""
    if job.state != JobState.QUEUED or job.is_parent:
        return
    decision = decide(tx.session, job, now)
    if job.capability:
        job.hive_id = decision.choice
    job.note = None if decision.choice else _why_it_waits(job, decision)
    job.rung_at = now
    queue = hive_queue(job.hive_id) if job.hive_id else job.capability
    if queue and (decision.choice or job.capability):
        tx.tales.append(Ring(job.operation, queue, job.id, job.attempt))


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
