"""Places to work in. A job that finds its lane full is not waited for: the hive asks for work when a place is free."""

import threading

from shared.operations import LANE_WIDTHS, Lane


class Lanes:
    def __init__(self, widths: dict[Lane, int] | None = None) -> None:
        self._free = dict(widths or LANE_WIDTHS)
        self._lock = threading.Lock()

    def take(self, lane: Lane, wanted: int = 1) -> int:
        """Takes up to `wanted` places and returns how many."""
        with self._lock:
            taken = min(wanted, self._free[lane])
            self._free[lane] -= taken
            return taken

    def give_back(self, lane: Lane, places: int = 1) -> None:
        with self._lock:
            self._free[lane] += places
