"""Carries narration to the broker: a thread of its own, so that a broker that hangs holds up no work.

What it could not send, or what the heartbeat's answer shows the queen has not recorded, it sends again from the spools.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from hive.spool import Spool
from shared.narration import Progress, Said, as_event
from shared.redaction import Redactor
from shared.routing import narration_stream
from shared.timing import PROGRESS_INTERVAL

log = logging.getLogger(__name__)

STREAM_LENGTH = 50_000
"""Entries a stream keeps at most, about; the recorder trims what it has recorded."""
PIPELINE = 500
QUIET = 3.0
"""Seconds without a newly recorded line after which unrecorded ones are sent again."""


class Narration:
    """What one attempt says. Thread-safe; `seq` counts the events that become rows."""

    def __init__(
        self,
        narrator: "Narrator",
        spool: Spool,
        *,
        job_id: str,
        attempt: int,
        redactor: Redactor,
        seq: int = 0,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.seq = seq
        self.spool = spool
        self.recorded = 0
        self.recorded_at = time.monotonic()
        self._narrator = narrator
        self.redactor = redactor
        self._lock = threading.Lock()
        self._progress_at = 0.0
        self._held: Progress | None = None

    def say(self, said: Said) -> None:
        """Lines, logs and data are numbered and kept; progress goes out at most four times a second, the last one surely."""
        if isinstance(said, Progress):
            self._progress(said)
            return
        with self._lock:
            self._flush_progress()
            event = self.redactor.deep(
                as_event(said, job_id=self.job_id, attempt=self.attempt, seq=self.seq + 1, at=time.time())
            )
            line = self.spool.append(event)  # type: ignore[arg-type]
            self.seq += 1
            self._narrator.put(line)

    def flush(self) -> None:
        """Sends the progress that was held back."""
        with self._lock:
            self._flush_progress()

    def take_recorded(self, seq: int) -> None:
        """The queen's word on what is a row; when it stands still below what was said, the rest goes out again."""
        now = time.monotonic()
        if seq > self.recorded or seq >= self.seq:
            self.recorded, self.recorded_at = max(seq, self.recorded), now
        elif now - self.recorded_at > QUIET:
            self.recorded_at = now
            self.send_again(seq)

    def send_again(self, after: int) -> None:
        self._narrator.call(lambda: self.spool.after(after))

    def _progress(self, said: Progress) -> None:
        with self._lock:
            self._held = said
            if time.monotonic() - self._progress_at >= PROGRESS_INTERVAL:
                self._flush_progress()

    def _flush_progress(self) -> None:
        if self._held is None:
            return
        event = as_event(self._held, job_id=self.job_id, attempt=self.attempt, seq=None, at=time.time())
        self._held, self._progress_at = None, time.monotonic()
        self._narrator.put_progress(event)


class Narrator:
    """The sender; one a hive."""

    def __init__(self, redis: Redis, hive_id: str, folder: Path) -> None:
        self._redis = redis
        self._stream = narration_stream(hive_id)
        self.folder = folder
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="narrator", daemon=True)
        self._broken = False

    def start(self) -> None:
        self._thread.start()

    def open(self, job_id: str, attempt: int, redactor: Redactor, seq: int = 0) -> Narration:
        spool = Spool(self.folder / f"{job_id}.{attempt}.jsonl")
        return Narration(self, spool, job_id=job_id, attempt=attempt, redactor=redactor, seq=seq)

    def put(self, line: str) -> None:
        self._queue.put(line)

    def put_progress(self, event: dict[str, Any]) -> None:
        """Dropped while the broker is behind: the next one says it all again."""
        if self._queue.qsize() < PIPELINE:
            self._queue.put(json.dumps(event, separators=(",", ":")))

    def call(self, lines: Callable[[], Any]) -> None:
        """Lines that are read when their turn comes."""
        self._queue.put(lines)

    def close(self) -> None:
        """Sends what waits, for two seconds at most."""
        self._queue.put(None)
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            batch = [item]
            while len(batch) < PIPELINE and not self._queue.empty():
                batch.append(self._queue.get())
            self._send([entry for entry in batch if entry is not None])
            if batch[-1] is None:
                return

    def _send(self, batch: list[Any]) -> None:
        lines: list[str] = []
        for entry in batch:
            if callable(entry):
                try:
                    lines.extend(entry())
                except FileNotFoundError:
                    continue
            else:
                lines.append(entry)
        try:
            for start in range(0, len(lines), PIPELINE):
                pipe = self._redis.pipeline(transaction=False)
                for line in lines[start : start + PIPELINE]:
                    pipe.xadd(self._stream, {"e": line}, maxlen=STREAM_LENGTH, approximate=True)
                pipe.execute()
            self._broken = False
        except RedisError as error:
            if not self._broken:
                log.warning("action=narrate error=%s", type(error).__name__)
            self._broken = True
