"""The narration of a job for its page: the newest lines, each with the id of its event, so that no line is shown twice."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from queen import events
from queen.job_view import iso
from queen.rows import Event
from shared.narration import Kind

SHOWN = 500
"""Lines of a page; the full log has the rest."""


@dataclass(frozen=True)
class Spoken:
    """What `_line.html` shows. `kind` is line, log, note (the queen's own word) or end, which has a `state`."""

    id: int | None
    job_id: str
    kind: str
    at: str | None
    text: str
    attempt: int
    state: str | None = None


def newest(session: Session, job_id: str) -> tuple[list[Spoken], bool]:
    """Lines in order, and whether there are older ones."""
    query = select(Event).where(Event.job_id == job_id, Event.kind != Kind.DATA)
    found = list(session.exec(query.order_by(col(Event.id).desc()).limit(SHOWN + 1)))
    lines = [line for event in reversed(found[:SHOWN]) if (line := _line(event))]
    return lines, len(found) > SHOWN


def _line(event: Event) -> Spoken | None:
    at, text = iso(event.at), event.text or ""
    if event.kind == events.END:
        return Spoken(event.id, event.job_id, "end", at, text, event.attempt, (event.data or {}).get("state"))
    if not text:
        return None
    kind = "note" if event.kind == events.JOB else event.kind
    return Spoken(event.id, event.job_id, kind, at, text, event.attempt)
