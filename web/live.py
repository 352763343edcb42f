"""`/live`: the same events as `/v1/events`, as fragments of the pages. Rendered once a process, whoever reads."""

import time
from collections.abc import Callable

from flask import Blueprint, Response, current_app, request
from jinja2 import Environment
from sqlmodel import Session

from queen import artifacts, hives
from queen.database import Database
from queen.guard import needs
from queen.job_view import job_view
from queen.live import LiveEvent, Renderer, Topic
from queen.principals import Scope
from queen.rows import Hive, Job
from queen.services import services
from queen.streams import frame
from web import job_cards
from web.narration import Spoken

live = Blueprint("live", __name__)

PARENT_EVERY = 1.0
"""Seconds between two sums of the children of one job."""


@live.get("/live")
@needs(Scope.OPERATE)
def stream() -> Response:
    """Fragments as server-sent events: everything, or `?job=` (repeatable), `?hive=`."""
    jobs = frozenset(job for given in request.args.getlist("job") for job in given.split(",") if job)
    return services().streams.fleet(Topic(jobs, request.args.get("hive") or None), _renderer())


def _renderer() -> Renderer:
    """One for each application: what is rendered is remembered by its renderer."""
    made: Renderer = current_app.extensions.setdefault(
        "rbee_fragments", Fragments(services().database, current_app.jinja_env).render
    )
    return made


class Fragments:
    """Draws one event as the frame that pages swap in by its ids. Runs outside of any request."""

    def __init__(self, database: Database, environment: Environment) -> None:
        self._database = database
        self._environment = environment
        self._summed: dict[str, float] = {}

    def render(self, event: LiveEvent) -> bytes | None:
        drawn: Callable[[LiveEvent], str | None] | None = {
            "job": self._job,
            "end": self._end,
            "progress": self._progress,
            "hive": self._hive,
            "line": self._line,
            "log": self._line,
        }.get(event.type)
        html = drawn(event) if drawn else None
        return frame(event.type, html, event.id) if html else _position(event)

    def _job(self, event: LiveEvent) -> str:
        with self._database.read() as session:
            card = job_cards.cards(session, [event.payload])[0]
            return self._draw("_job_card.html", job=card) + self._parent(session, event)

    def _end(self, event: LiveEvent) -> str | None:
        """The card once more, because what the end carries is on it, and the closing line."""
        with self._database.read() as session:
            job = session.get(Job, event.job_id)
            if job is None:
                return None
            card = self._draw("_job_card.html", job=job_cards.one(session, job))
        said, text = event.payload, event.payload.get("text") or ""
        line = Spoken(event.id, job.id, "end", said["at"], text, said["attempt"], said["state"])
        return card + self._draw("_line.html", line=line)

    def _progress(self, event: LiveEvent) -> str:
        said = event.payload
        job = {
            "id": event.job_id,
            "state": "running",
            "attempt": said["attempt"],
            "progress": said["progress"],
        }
        drawn = self._draw("_progress.html", job=job)
        if event.parent_id and self._is_time(event.parent_id):
            with self._database.read() as session:
                drawn += self._parent(session, event)
        return drawn

    def _line(self, event: LiveEvent) -> str | None:
        said = event.payload
        if not (text := said.get("text")):
            return None
        line = Spoken(event.id, str(event.job_id), event.type, said["at"], text, said["attempt"])
        return self._draw("_line.html", line=line)

    def _hive(self, event: LiveEvent) -> str | None:
        with self._database.read() as session:
            hive = session.get(Hive, event.hive_id)
            if hive is None or hive.removed_at is not None:
                return f'<article id="hive-{event.hive_id}" data-noun="hive" data-gone></article>'
            if hive.kind != "hive":
                return None
            items = artifacts.by_hive(session, hive.id)[hive.id]
            view = hives.hive_view(hive, items, time.time())
        return self._draw("_hive_card.html", hive=view)

    def _parent(self, session: Session, event: LiveEvent) -> str:
        parent = session.get(Job, event.parent_id) if event.parent_id else None
        if parent is None:
            return ""
        return self._draw("_job_card.html", job=job_cards.cards(session, [job_view(parent)])[0])

    def _is_time(self, parent_id: str) -> bool:
        now = time.monotonic()
        if now - self._summed.get(parent_id, 0.0) < PARENT_EVERY:
            return False
        if len(self._summed) > 1000:
            self._summed.clear()
        self._summed[parent_id] = now
        return True

    def _draw(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(**values)


def _position(event: LiveEvent) -> bytes | None:
    """Nothing to show, but a reconnect goes on after it."""
    return f"id: {event.id}\n\n".encode() if event.id is not None else None
