"""What is going on now: the active jobs, and the last that ended."""

from sqlalchemy import case
from sqlmodel import Session, col, select

from queen.rows import Job
from shared.states import ACTIVE, FINAL, JobState

MAX_ACTIVE = 100


def current(session: Session, *, recent: int) -> list[Job]:
    """Running jobs, then waiting and paused ones, then `recent` ended ones; each newest first, without children."""
    top = select(Job).where(col(Job.parent_id).is_(None))
    waits = case((col(Job.state) == JobState.RUNNING, 0), else_=1)
    active = top.where(col(Job.state).in_([*ACTIVE, JobState.PAUSED])).order_by(
        waits, col(Job.created_at).desc()
    )
    ended = top.where(col(Job.state).in_(FINAL)).order_by(col(Job.created_at).desc())
    return [*session.exec(active.limit(MAX_ACTIVE)), *session.exec(ended.limit(recent))]
