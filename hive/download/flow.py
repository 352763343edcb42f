"""How fast the bytes of a fetch come in just now, over all its connections."""

import math

_WINDOW = 0.025
"""Seconds of one measurement: short, so that a fast link is known before eight connections are open."""
ENOUGH = 100e6
"""Bytes a second of one connection beyond which more of them only cost CPU."""


class Flow:
    """Guarded by the schedule's lock; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._rate = 0.0

    def begin(self, now: float) -> None:
        """A file was opened: how fast it is will be known one window later, and until then it is fast enough."""
        self._since, self._count, self._rate = now, 0, math.inf

    def add(self, count: int, now: float) -> None:
        self._count += count
        self._roll(now)

    def is_enough(self, connections: int, now: float) -> bool:
        """Whether `connections` are so fast that another would not help."""
        self._roll(now)
        return self._rate > ENOUGH * connections

    def _roll(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed >= _WINDOW:
            self._rate = self._count / elapsed
            self._since, self._count = now, 0
