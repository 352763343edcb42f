"""Says what was committed: on the live channel, on hives' control channels, and as Celery messages.

A thread of its own does it in commit order, so that a broker that hangs delays no request. What cannot be said is dropped:
readers look into the rows every two seconds, the heartbeat's answer repeats a cancel, the reconciler rings again.
"""

import json
import logging
import queue
import threading
import time
from typing import Any

from celery import Celery
from redis import Redis, RedisError

from queen.database import Tale
from queen.tales import Control, Live, LiveHive, LiveProgress, Ring
from shared.broker import ring
from shared.errors import Unavailable
from shared.routing import LIVE_CHANNEL, control_channel

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Tales of one pipeline, about."""
BACKLOG = 20_000
"""Tales that wait at most; further ones are dropped until the broker answers."""


class Teller:
    """`Teller(redis, celery)` is what a Database tells to."""

    def __init__(self, redis: Redis, celery: Celery) -> None:
        self._redis = redis
        self._celery = celery
        self._tales: queue.SimpleQueue[list[Tale] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def __call__(self, tales: list[Tale]) -> None:
        if self._tales.qsize() > BACKLOG:
            return
        self._tales.put(tales)
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def close(self) -> None:
        """Says what is left, for five seconds at most."""
        self._tales.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (tales := self._tales.get()) is not None:
            tales = self._with_what_waits(tales)
            if time.monotonic() < self._quiet_until:
                continue
            try:
                self._say(tales)
            except (RedisError, Unavailable) as error:
                log.warning("action=tell error=%s", type(error).__name__)
                self._quiet_until = time.monotonic() + 1.0

    def _with_what_waits(self, tales: list[Tale]) -> list[Tale]:
        """One pipeline for all that was committed meanwhile."""
        tales = list(tales)
        while len(tales) < AT_ONCE and not self._tales.empty():
            following = self._tales.get()
            if following is None:
                self._tales.put(None)
                break
            tales += following
        return tales

    def _say(self, tales: list[Tale]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        rings = []
        for tale in tales:
            match tale:
                case Ring():
                    rings.append(tale)
                case Control(hive_id, word, job_id, attempt):
                    message = {"word": word, "job_id": job_id, "attempt": attempt}
                    pipe.publish(control_channel(hive_id), _dumps(message))
                case _:
                    pipe.publish(LIVE_CHANNEL, _dumps(_live(tale)))
        if len(pipe):
            pipe.execute()
        for call in rings:
            ring(self._celery, call.operation, call.queue, call.job_id, call.attempt)


def _live(tale: Tale) -> dict[str, Any]:
    match tale:
        case Live(events, prev):
            return {"events": events, "prev": prev}
        case LiveProgress(event):
            return {"progress": event}
        case LiveHive(hive_id):
            return {"hive": hive_id}
    raise TypeError(type(tale).__name__)


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
