"""A bandwidth limit: a bucket of bytes that all threads of a job, or all jobs of a hive, drink from."""

import threading
import time
from collections.abc import Callable

_BURST = 0.25
"""Seconds of the rate that may be spent at once."""
_SMALLEST_READ = 4096


class Bandwidth:
    """`rate` in bytes a second, None for no limit. A job's limit names the hive's limit as its `parent`."""

    def __init__(self, rate: int | None = None, *, parent: "Bandwidth | None" = None) -> None:
        self._lock = threading.Lock()
        self._rate = rate or None
        self._parent = parent
        self._tokens = 0.0
        self._at = time.monotonic()

    def change(self, rate: int | None) -> None:
        """Sets another rate; it counts from the next read on."""
        with self._lock:
            self._rate = rate or None
            self._tokens, self._at = 0.0, time.monotonic()

    def read_size(self, wanted: int) -> int:
        """How many of `wanted` bytes to read at once so that the limit stays smooth."""
        rate = self._rate
        size = wanted if rate is None else min(wanted, max(_SMALLEST_READ, rate // 16))
        return self._parent.read_size(size) if self._parent else size

    def spend(self, size: int, wait: Callable[[float], object]) -> None:
        """Pays for `size` bytes just read: calls `wait(seconds)` for as long as the limits are overdrawn."""
        delay = self._debt(size)
        if delay > 0:
            wait(delay)

    def _debt(self, size: int) -> float:
        mine = 0.0
        with self._lock:
            if self._rate is not None:
                now = time.monotonic()
                refill = (now - self._at) * self._rate
                self._tokens = min(self._tokens + refill, self._rate * _BURST) - size
                self._at = now
                mine = max(0.0, -self._tokens / self._rate)
        return max(mine, self._parent._debt(size)) if self._parent else mine
