"""Server-sent events: what a stream says first, what it replays, and how it ends. No stream holds a database session."""

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from flask_sse import Message, ServerSentEventsBlueprint
from redis import Redis
from sqlmodel import col, or_, select

from queen import events, live
from queen.database import Database
from queen.job_view import job_view
from queen.live import Hub, LiveEvent, Renderer, Subscription, Topic
from queen.rows import Event, Job
from shared.errors import InvalidRequest, NotFound
from shared.states import ACTIVE, FINAL
from shared.timing import PING

MAX_STREAMS = 500
RETRY_MS = 2000
MAX_LIFE = 45 * 60.0
"""Seconds; with jitter, so that a restart of the queen is not followed by everybody at once for ever after."""
REPLAY = 500
"""Rows of one replaying read."""
MAX_REPLAY = 5000
"""Rows the fleet's stream replays at most; whoever is further behind gets `resync` and a snapshot."""

HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def json_frame(event: LiveEvent) -> bytes | None:
    """The API's form: JSON. Hives are not events there."""
    if event.type == "hive":
        return None
    return frame(event.type, json.dumps(event.payload, separators=(",", ":"), ensure_ascii=False), event.id)


def frame(kind: str, data: str, event_id: int | None = None) -> bytes:
    """One event of the text/event-stream format. Newlines of `data` become further data lines."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    body = "".join(f"data: {line}\n" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return f"{head}event: {kind}\n{body}\n".encode()


class Streams(ServerSentEventsBlueprint):  # type: ignore[misc]
    """Flask-SSE's blueprint with its stream replaced: replay, heartbeat, no channel chosen by the visitor, one subscription."""

    def __init__(self, database: Database, hub: Hub, redis: Redis) -> None:
        super().__init__("streams", __name__)
        self._database = database
        self._hub = hub
        self._redis = redis
        self._places = threading.BoundedSemaphore(MAX_STREAMS)

    @property
    def redis(self) -> Redis:
        """The shared client; the published one connects anew at every access."""
        return self._redis

    def messages(self, channel: str = "sse") -> Iterator[Message]:
        """Messages of one job, by its id as the channel."""
        with self._hub.subscribe(Topic(jobs=frozenset({channel}))) as subscription:
            while not subscription.closed:
                if event := subscription.get(PING):
                    yield Message(event.payload, type=event.type, id=event.id)

    def job(self, job_id: str, renderer: Renderer = json_frame) -> Response:
        """The stream of one job: snapshot, replay, live, `end`. 204 at or after the end of a finished job."""
        last_id = _last_event_id()
        with self._database.read() as session:
            job = session.get(Job, job_id)
            if job is None:
                raise NotFound("There is no such job.", hint="List the jobs: rbee job ls")
            if (
                last_id is not None
                and job.state in FINAL
                and job.ended
                and _end_id(session, job_id) <= last_id <= events.newest_id(session)
            ):
                return Response(status=204)
            newest = events.newest_id(session)
        return self._response(self._job_frames(job_id, last_id, newest, renderer))

    def fleet(self, topic: Topic, renderer: Renderer = json_frame) -> Response:
        """The stream of everything, of one hive or of some jobs; it never ends by itself."""
        return self._response(self._fleet_frames(topic, _last_event_id(), renderer))

    def _response(self, frames: Iterator[bytes]) -> Response:
        """A place is taken before the answer begins: a thousand readers at once must not get past the limit together."""
        if not self._places.acquire(blocking=False):
            full = f"retry: {10 * RETRY_MS}\n\n".encode()
            return Response(full, mimetype="text/event-stream", headers=HEADERS)
        response = Response(frames, mimetype="text/event-stream", headers=HEADERS)
        response.call_on_close(self._places.release)
        return response

    def _job_frames(
        self, job_id: str, last_id: int | None, newest: int, renderer: Renderer
    ) -> Iterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        with self._hub.subscribe(Topic(jobs=frozenset({job_id}))) as subscription:
            if last_id is not None and last_id > newest:
                yield frame("resync", "{}")
                last_id = None
            snapshot, family = self._family(job_id)
            if last_id is None and (first := renderer(snapshot)):
                yield first
            position = last_id or 0
            for event in self._replay(position, list(family), None):
                position = event.id or position
                if event.type == "end" and not (event.job_id == job_id and self._is_last_end(event)):
                    continue
                if rendered := renderer(event):
                    yield rendered
                if event.type == "end":
                    return
            for live_event in _follow(subscription, position):
                if live_event is None:
                    yield b": ping\n\n"
                elif live_event.type != "end" or live_event.job_id == job_id:
                    if rendered := live_event.rendered(renderer):
                        yield rendered
                    if live_event.type == "end":
                        return

    def _fleet_frames(self, topic: Topic, last_id: int | None, renderer: Renderer) -> Iterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        with self._hub.subscribe(topic) as subscription:
            with self._database.read() as session:
                newest, oldest = events.newest_id(session), events.oldest_id(session)
            if last_id is not None and not _replayable(last_id, oldest, newest):
                yield frame("resync", "{}")
                last_id = None
            position = newest if last_id is None else last_id
            if last_id is None:
                yield from self._snapshots(topic, renderer, newest)
            else:
                for event in self._replay(last_id, self._with_children(topic.jobs), topic.hive):
                    position = event.id or position
                    if rendered := renderer(event):
                        yield rendered
            for live_event in _follow(subscription, position):
                rendered = live_event.rendered(renderer) if live_event else b": ping\n\n"
                if rendered:
                    yield rendered

    def _family(self, job_id: str) -> tuple[LiveEvent, set[str]]:
        """The job's snapshot, its id and its children's."""
        with self._database.read() as session:
            job = session.get(Job, job_id)
            if job is None:
                raise NotFound("There is no such job.")
            children = session.exec(select(Job.id).where(Job.parent_id == job_id)) if job.is_parent else ()
            return _snapshot(job), {job_id, *children}

    def _with_children(self, job_ids: frozenset[str]) -> list[str] | None:
        if not job_ids:
            return None
        with self._database.read() as session:
            return [*job_ids, *session.exec(select(Job.id).where(col(Job.parent_id).in_(job_ids)))]

    def _snapshots(self, topic: Topic, renderer: Renderer, newest: int) -> Iterator[bytes]:
        """The active jobs now; the first frame carries the id from which a reconnect goes on."""
        with self._database.read() as session:
            query = select(Job).where(col(Job.state).in_([*ACTIVE, "paused"]))
            if topic.jobs:
                query = select(Job).where(
                    or_(col(Job.id).in_(topic.jobs), col(Job.parent_id).in_(topic.jobs))
                )
            if topic.hive:
                query = query.where(Job.hive_id == topic.hive)
            snapshots = [
                _snapshot(job) for job in session.exec(query.order_by(col(Job.created_at)).limit(MAX_REPLAY))
            ]
        yield f"id: {newest}\n: snapshot\n\n".encode()
        for snapshot in snapshots:
            if rendered := renderer(snapshot):
                yield rendered

    def _replay(self, last_id: int, jobs: list[str] | None, hive_id: str | None) -> Iterator[LiveEvent]:
        while True:
            with self._database.read() as session:
                rows = events.after(session, last_id, jobs=jobs, hive_id=hive_id, limit=REPLAY)
            for row in rows:
                last_id = row["id"]
                yield live.from_row(row)
            if len(rows) < REPLAY:
                return

    def _is_last_end(self, event: LiveEvent) -> bool:
        """Whether the job is over with this `end`, as the rows have it now: a retried job goes on after it."""
        with self._database.read() as session:
            job = session.get(Job, event.job_id)
            return job is None or (job.state in FINAL and job.ended and event.id == _end_id(session, job.id))


def _follow(subscription: Subscription, position: int) -> Iterator[LiveEvent | None]:
    """Live events above `position`; None when it is time for a ping."""
    dies_at = time.monotonic() + MAX_LIFE * random.uniform(0.8, 1.2)  # noqa: S311
    while not subscription.closed and time.monotonic() < dies_at:
        event = subscription.get(PING)
        if event is None and subscription.closed:
            return
        if event is None or event.id is None:
            yield event
        elif event.id > position:
            position = event.id
            yield event


def _snapshot(job: Job) -> LiveEvent:
    return LiveEvent("job", job_view(job), None, job.id, job.parent_id, job.hive_id)


def _end_id(session: Any, job_id: str) -> int:
    query = select(Event.id).where(Event.job_id == job_id, Event.kind == events.END)
    return session.exec(query.order_by(col(Event.id).desc()).limit(1)).first() or 0


def _replayable(last_id: int, oldest: int | None, newest: int) -> bool:
    if last_id > newest or newest - last_id > MAX_REPLAY:
        return False
    return last_id == newest or (oldest is not None and last_id >= oldest - 1)


def _last_event_id() -> int | None:
    given = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if not given:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise InvalidRequest(
            "The last event id is not one of ours.",
            details=[{"field": "last_event_id", "message": "must be a number"}],
        )
    return int(given)
