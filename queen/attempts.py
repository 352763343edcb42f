"""What a hive reports about an attempt it holds: the vendor's plan, and the outcome."""

import time

from queen import artifacts, dispatch, hives, jobs
from queen.database import Transaction
from queen.placement import Verdict, judge
from queen.rows import Hive, Job
from shared.errors import Conflict
from shared.protocol import OutcomeReport, PlanReport
from shared.states import JobState


def store_plan(tx: Transaction, job_id: str, attempt: int, hive_id: str, report: PlanReport) -> Verdict:
    """Keeps the plan on the job; says whether it fits. Raises Conflict `stale_attempt`."""
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
    hive = tx.session.get(Hive, hive_id, with_for_update=True)
    assert hive is not None
    return judge(
        dispatch.wanted(job),
        hives.candidate(tx.session, hive, job, time.time()),
        ignore_online=True,
    )


def finish(tx: Transaction, job_id: str, attempt: int, hive_id: str, report: OutcomeReport) -> Job:
    """Takes the outcome, and what it made of the artifact: both are visible at the same moment."""
    if report.artifact is not None:
        artifacts.take(tx, hive_id, report.artifact)
    job = jobs.finish(tx, job_id, attempt, hive_id, report)
    dispatch.send(tx, job, time.time())
    return job
