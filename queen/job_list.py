"""Lists of jobs, newest first, by an opaque cursor that never shows a job twice."""

import base64
import json
from dataclasses import dataclass

from sqlmodel import Session, and_, col, or_, select

from queen import strict_json
from queen.rows import Job
from shared.errors import InvalidRequest
from shared.operations import OPERATIONS
from shared.states import JobState

MAX_LIMIT = 200


@dataclass(frozen=True)
class Filter:
    """`since` in seconds since the epoch. `parent` is a job id; without it children are listed too, unless `top`."""

    states: tuple[str, ...] = ()
    operation: str | None = None
    hive: str | None = None
    since: float | None = None
    parent: str | None = None
    top: bool = False

    def problems(self) -> list[dict[str, str]]:
        found = []
        if not set(self.states) <= set(JobState):
            found.append({"field": "state", "message": "must be of " + ", ".join(JobState)})
        if self.operation is not None and self.operation not in OPERATIONS:
            found.append({"field": "operation", "message": "must be one of " + ", ".join(OPERATIONS)})
        return found


def page(
    session: Session, wanted: Filter, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[Job], str | None]:
    """The jobs, and the cursor of the next page or None."""
    if problems := wanted.problems():
        raise InvalidRequest("The filter cannot be used.", details=problems)
    query = select(Job)
    if wanted.states:
        query = query.where(col(Job.state).in_(wanted.states))
    if wanted.operation:
        query = query.where(Job.operation == wanted.operation)
    if wanted.hive:
        query = query.where(Job.hive_id == wanted.hive)
    if wanted.since is not None:
        query = query.where(Job.created_at >= wanted.since)
    if wanted.parent:
        query = query.where(Job.parent_id == wanted.parent)
    if wanted.top:
        query = query.where(col(Job.parent_id).is_(None))
    if cursor:
        at, job_id = _decode(cursor)
        query = query.where(
            or_(col(Job.created_at) < at, and_(col(Job.created_at) == at, col(Job.id) < job_id))
        )
    found = list(
        session.exec(query.order_by(col(Job.created_at).desc(), col(Job.id).desc()).limit(limit + 1))
    )
    following = _encode(found[limit - 1]) if len(found) > limit else None
    return found[:limit], following


def _encode(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.created_at, job.id]).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[float, str]:
    try:
        at, job_id = strict_json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return float(at), str(job_id)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest(
            "The cursor is not one of ours.",
            details=[{"field": "cursor", "message": "use next_cursor of the page before"}],
        ) from error
