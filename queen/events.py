"""The narration as rows. Ids come from one counter row, so that id order is commit order on every database."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, SQLModel, col, select

from queen.database import Transaction
from queen.job_view import job_view
from queen.rows import Counter, Event, Job
from queen.tales import Live

COUNTER = "event"
JOB = "job"
END = "end"

_counters = SQLModel.metadata.tables["counter"]
_COUNT_ON = (
    update(_counters)
    .where(_counters.c.name == COUNTER)
    .values(value=_counters.c.value + bindparam("by"))
    .returning(_counters.c.value)
)
_INSERT = insert(SQLModel.metadata.tables["event"])


@dataclass(frozen=True)
class NewEvent:
    job: Job
    attempt: int
    kind: str
    at: float
    seq: int | None = None
    text: str | None = None
    data: dict[str, Any] | None = None


def append(tx: Transaction, new: list[NewEvent]) -> None:
    """Keeps events for the end of the transaction, where they become rows and their push is queued.

    The counter's row is locked last before COMMIT, whatever else the transaction does: so id order is commit order, and
    nobody waits for another row while everybody waits for the counter.
    """
    if new and not tx.events:
        tx.closing.append(lambda: _insert(tx))
    tx.events.extend(new)


def lock(tx: Transaction) -> None:
    """Until COMMIT nobody else appends: for checks that must see every job there is. No row may be locked after it."""
    tx.session.exec(select(Counter).where(Counter.name == COUNTER).with_for_update()).one()


def _insert(tx: Transaction) -> None:
    session, new = tx.session, tx.events
    session.flush()
    connection = session.connection()
    last = connection.execute(_COUNT_ON, {"by": len(new)}).scalar_one()
    first = last - len(new) + 1
    rows = [
        {
            "id": first + at,
            "job_id": event.job.id,
            "attempt": event.attempt,
            "seq": event.seq,
            "kind": event.kind,
            "at": event.at,
            "text": event.text,
            "data": event.data,
        }
        for at, event in enumerate(new)
    ]
    connection.execute(_INSERT, rows)
    pushed = [live_event(row, event.job) for row, event in zip(rows, new, strict=True)]
    tx.tales.append(Live(pushed, prev=first - 1))


def live_event(row: dict[str, Any], job: Job) -> dict[str, Any]:
    """What travels on the live channel and out of a replay: the row, whose job it is, and the job's snapshot with `job`."""
    event = {**row, "parent_id": job.parent_id, "hive_id": job.hive_id}
    if row["kind"] == JOB:
        event["data"] = job_view(job)
    return event


def job_changed(job: Job, now: float) -> NewEvent:
    return NewEvent(job, job.attempt, JOB, now, text=job.note)


def job_ended(job: Job, now: float, told: str | None) -> NewEvent:
    data = {"state": job.state, "error": job.error, "result": job.result, "hive_id": job.hive_id}
    return NewEvent(job, job.attempt, END, now, text=told, data=data)


def newest_id(session: Session) -> int:
    return session.exec(select(Counter.value).where(Counter.name == COUNTER)).one()


def after(
    session: Session, last_id: int, *, jobs: list[str] | None, hive_id: str | None, limit: int
) -> list[dict[str, Any]]:
    """Events above `last_id` in id order, of some jobs or of one hive, at most `limit`."""
    query = select(Event, Job).join(Job, col(Job.id) == col(Event.job_id)).where(col(Event.id) > last_id)
    if jobs is not None:
        query = query.where(col(Event.job_id).in_(jobs))
    if hive_id is not None:
        query = query.where(Job.hive_id == hive_id)
    found = session.exec(query.order_by(col(Event.id)).limit(limit))
    return [live_event(event.model_dump(), job) for event, job in found]


def oldest_id(session: Session) -> int | None:
    return session.exec(select(Event.id).order_by(col(Event.id)).limit(1)).first()
