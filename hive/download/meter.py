"""Progress over all files of a plan: absolute bytes, a smoothed rate, and the time left."""

import time

from shared.narration import Progress

_SMOOTHING = 4.0
"""Seconds over which the rate is averaged."""
_WARM_UP = 0.5
"""Seconds before a rate is told."""


class Meter:
    """`start` bytes were here before; they count as done and not as speed."""

    def __init__(self, start: int) -> None:
        self._began = self._at = time.monotonic()
        self._last = start
        self._rate: float | None = None
        self._phase = "download"

    def read(self, done: int, total: int | None, phase: str) -> Progress:
        """100 % is not shown: `done` stays below `total` until `complete`."""
        if phase != self._phase:
            self._restart(done, phase)
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed > 0:
            self._learn(max(done - self._last, 0) / elapsed, elapsed, now)
            self._last, self._at = done, now
        if total is not None:
            done = min(done, max(total - 1, 0))
        rate = round(self._rate, 1) if self._rate is not None and now - self._began >= _WARM_UP else None
        eta = round((total - done) / rate, 1) if total is not None and rate else None
        return Progress(done, total, "bytes", phase, rate, eta)

    def complete(self, total: int) -> Progress:
        """Everything is here and verified."""
        return Progress(total, total, "bytes", "verify", None, 0.0)

    def _learn(self, rate: float, elapsed: float, now: float) -> None:
        if self._rate is None:
            self._rate = rate
            return
        window = min(_SMOOTHING, max(now - self._began, elapsed))
        weight = min(1.0, elapsed / window)
        self._rate += weight * (rate - self._rate)

    def _restart(self, done: int, phase: str) -> None:
        self._began = self._at = time.monotonic()
        self._last, self._rate, self._phase = done, None, phase
