"""Hears the control channel: a cancel or a pause within a second. What it misses the heartbeat's answer repeats."""

import json
import logging
import threading

from redis import Redis, RedisError

from hive.runner import Runner
from hive.stop import Reason
from shared.routing import control_channel

log = logging.getLogger(__name__)

LISTEN = 5.0
"""Seconds one wait for a message takes."""
_REASONS = {"cancel": Reason.CANCEL, "pause": Reason.PAUSE}


class Control:
    """`redis` must allow for blocking of LISTEN seconds."""

    def __init__(self, redis: Redis, hive_id: str, runner: Runner) -> None:
        self._redis = redis
        self._channel = control_channel(hive_id)
        self._runner = runner
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except RedisError as error:
                log.warning("action=control error=%s", type(error).__name__)
                self._stopping.wait(1.0)

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(self._channel)
            while not self._stopping.is_set():
                if message := channel.get_message(timeout=LISTEN):
                    self._obey(message["data"])

    def _obey(self, raw: bytes) -> None:
        try:
            message = json.loads(raw)
            self._runner.stop(message["job_id"], message["attempt"], _REASONS[message["word"]])
        except (ValueError, KeyError, TypeError):
            log.warning("action=control error=unknown_message")
