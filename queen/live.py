"""The live hub: one subscription a web process, rendered once, fanned out to bounded queues.

The rows are the truth: every publish names the id before it, and on a gap, after a reconnect and every two seconds the hub reads
the rows above its last id. Losing a message costs two seconds, never a line.
"""

import json
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis import Redis, RedisError
from sqlalchemy.exc import SQLAlchemyError

from queen import events
from queen.database import Database
from queen.job_view import iso
from shared.routing import LIVE_CHANNEL
from shared.timing import LIVE_CATCH_UP

log = logging.getLogger(__name__)

QUEUE = 1000
"""Events a slow reader may be behind before its stream is closed; it reconnects and replays."""
READ = 500
"""Rows of one catching-up read."""

Renderer = Callable[["LiveEvent"], bytes | None]


@dataclass(eq=False)
class LiveEvent:
    """One thing to push. `id` is None for what is never replayed. `payload` is the JSON that API readers get."""

    type: str
    payload: dict[str, Any]
    id: int | None = None
    job_id: str | None = None
    parent_id: str | None = None
    hive_id: str | None = None
    _rendered: dict[Renderer, bytes | None] = field(default_factory=dict)

    def rendered(self, renderer: Renderer) -> bytes | None:
        """The frame in one form, made once for all readers."""
        if renderer not in self._rendered:
            self._rendered[renderer] = renderer(self)
        return self._rendered[renderer]


def from_row(event: dict[str, Any]) -> LiveEvent:
    """A row as `queen.events.live_event` makes it."""
    kind = event["kind"]
    if kind == events.JOB:
        payload = event["data"] or {}
    else:
        payload = {
            "job_id": event["job_id"],
            "attempt": event["attempt"],
            "kind": kind,
            "at": iso(event["at"]),
        }
        if event["seq"] is not None:
            payload["seq"] = event["seq"]
        if event["text"] is not None:
            payload["text"] = event["text"]
        if kind == events.END:
            payload.update(event["data"] or {})
        elif event["data"] is not None:
            payload["data"] = event["data"]
    return LiveEvent(kind, payload, event["id"], event["job_id"], event["parent_id"], event["hive_id"])


def from_progress(event: dict[str, Any]) -> LiveEvent:
    payload = {
        "job_id": event["job_id"],
        "attempt": event["attempt"],
        "at": iso(event["at"]),
        "progress": event["progress"],
    }
    return LiveEvent("progress", payload, None, event["job_id"], event["parent_id"], event["hive_id"])


@dataclass(frozen=True)
class Topic:
    """What a reader wants: some jobs (with their children), one hive, some jobs on one hive, or everything."""

    jobs: frozenset[str] = frozenset()
    hive: str | None = None

    def has(self, event: LiveEvent) -> bool:
        if self.hive is not None and event.hive_id != self.hive:
            return False
        return not self.jobs or event.job_id in self.jobs or event.parent_id in self.jobs

    @property
    def everything(self) -> bool:
        return not self.jobs and self.hive is None


class Subscription:
    """A reader's bounded queue. `get` returns None after `timeout` seconds; `closed` says that nothing more will come."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.closed = False
        self._queue: queue.SimpleQueue[LiveEvent | None] = queue.SimpleQueue()

    def put(self, event: LiveEvent) -> None:
        if self._queue.qsize() >= QUEUE:
            self.close()
        elif not self.closed:
            self._queue.put(event)

    def get(self, timeout: float) -> LiveEvent | None:
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        self.closed = True
        self._queue.put(None)


class Hub:
    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._lock = threading.Lock()
        self._of_job: dict[str, set[Subscription]] = defaultdict(set)
        self._of_hive: dict[str, set[Subscription]] = defaultdict(set)
        self._of_everything: set[Subscription] = set()
        self._count = 0
        self._last_id = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def readers(self) -> int:
        return self._count

    def start(self) -> None:
        with self._database.read() as session:
            self._last_id = events.newest_id(session)
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends every stream; readers come again elsewhere or later."""
        self._stopping.set()
        with self._lock:
            everybody = self._everybody()
        for subscription in everybody:
            subscription.close()

    @contextmanager
    def subscribe(self, topic: Topic) -> Iterator[Subscription]:
        subscription = Subscription(topic)
        with self._lock:
            self._count += 1
            for members in self._memberships(topic):
                members.add(subscription)
        if self._stopping.is_set():
            subscription.close()
        try:
            yield subscription
        finally:
            with self._lock:
                self._count -= 1
                for members in self._memberships(topic):
                    members.discard(subscription)
                self._forget_empty(topic)

    def _memberships(self, topic: Topic) -> list[set[Subscription]]:
        if topic.everything:
            return [self._of_everything]
        if topic.jobs:
            return [self._of_job[job_id] for job_id in topic.jobs]
        return [self._of_hive[topic.hive or ""]]

    def _forget_empty(self, topic: Topic) -> None:
        for job_id in topic.jobs:
            if not self._of_job[job_id]:
                del self._of_job[job_id]
        if topic.hive and not self._of_hive.get(topic.hive):
            self._of_hive.pop(topic.hive, None)

    def _everybody(self) -> set[Subscription]:
        return set(self._of_everything).union(*self._of_job.values(), *self._of_hive.values())

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._catch_up()
                self._follow()
            except (RedisError, SQLAlchemyError, OSError) as error:
                log.warning("action=follow error=%s", type(error).__name__)
            self._stopping.wait(0.5)

    def _follow(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(LIVE_CHANNEL)
            self._catch_up()
            while not self._stopping.is_set():
                message = channel.get_message(timeout=LIVE_CATCH_UP)
                if message is None:
                    self._catch_up()
                else:
                    self._take(json.loads(message["data"]))

    def _take(self, message: dict[str, Any]) -> None:
        if (progress := message.get("progress")) is not None:
            self._fan_out(from_progress(progress))
        elif (hive_id := message.get("hive")) is not None:
            self._fan_out(LiveEvent("hive", {"id": hive_id}, None, hive_id=hive_id))
        elif message["prev"] > self._last_id:
            self._catch_up()
        else:
            self._deliver(message["events"])

    def _catch_up(self) -> None:
        while not self._stopping.is_set():
            with self._database.read() as session:
                rows = events.after(session, self._last_id, jobs=None, hive_id=None, limit=READ)
            self._deliver(rows)
            if len(rows) < READ:
                return

    def _deliver(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["id"] > self._last_id:
                self._last_id = row["id"]
                self._fan_out(from_row(row))

    def _fan_out(self, event: LiveEvent) -> None:
        with self._lock:
            readers = set(self._of_everything)
            for job_id in (event.job_id, event.parent_id):
                if job_id in self._of_job:
                    readers |= self._of_job[job_id]
            if event.hive_id in self._of_hive:
                readers |= self._of_hive[event.hive_id]
        for reader in readers:
            if reader.topic.has(event):
                reader.put(event)
