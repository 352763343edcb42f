"""What a hive reports about an attempt it holds: the vendor's plan, and the outcome."""

import time
from typing import Any

from queen import artifacts, dispatch, hives, jobs
from queen.database import Transaction
from queen.placement import Verdict, judge
from queen.rows import Job
from shared.errors import Conflict
from shared.narration import MAX_TEXT
from shared.protocol import OutcomeReport, PlanReport
from shared.states import JobState


def store_plan(tx: Transaction, job_id: str, attempt: int, hive_id: str, report: PlanReport) -> Verdict:
    """Keeps the plan on the job; says whether it fits. Raises Conflict `stale_attempt`."""
    hive = hives.lock(tx, hive_id)
    job = jobs.get(tx, job_id)
    if (job.hive_id, job.attempt, job.claim_id, job.state) != (
        hive_id,
        attempt,
        report.claim_id,
        JobState.RUNNING,
    ):
        raise Conflict("This attempt is not yours any more.", code="stale_attempt")
    job.plan = report.plan.model_dump(mode="json", exclude_none=True)
    job.size = report.size
    return judge(
        dispatch.wanted(job),
        hives.candidate(tx.session, hive, job, time.time()),
        ignore_online=True,
    )


def finish(tx: Transaction, job_id: str, attempt: int, hive_id: str, report: OutcomeReport) -> Job:
    """Takes the outcome, and what it made of the artifact: both are visible at the same moment."""
    hives.lock(tx, hive_id)
    first_time = jobs.get(tx, job_id).state == JobState.RUNNING
    report = report.model_copy(update={"error": _reason(report.error)})
    job = jobs.finish(tx, job_id, attempt, hive_id, report)
    if first_time and report.artifact is not None:
        artifacts.take(tx, hive_id, report.artifact)
    now = time.time()
    dispatch.send(tx, job, now)
    dispatch.send_waiting_for(tx, hive_id, job.resource, now)
    return job


def _reason(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """A hive's error as we show it: the words of `shared.errors.RbeeError.as_dict`, of bounded length."""
    if told is None:
        return None
    words = {
        name: word[:MAX_TEXT]
        for name in ("code", "message", "hint")
        if isinstance(word := told.get(name), str)
    }
    return {**jobs.NO_REASON, **words}
