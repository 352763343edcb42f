"""The disk of a hive: how much is free, and how much of that is already promised to running jobs."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import JobFailed

SAFETY_MARGIN = 64 << 20
"""Bytes that stay free whatever happens: a full disk breaks spools and databases too."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def in_words(size: float) -> str:
    """Bytes for a person, in decimal units as shops sell disks: `4.7 GB`, `512 B`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {_UNITS[unit]}"


def disk_full(message: str) -> JobFailed:
    """The one failure of a full disk or an exhausted quota."""
    hint = "Free room on this machine (delete models or partial downloads), then retry the job: it resumes."
    return JobFailed(message, code="disk_full", hint=hint)


class Reservation:
    """A promise of bytes to one job; shrinks as the file system really gives them. Thread-safe."""

    def __init__(self, disk: "Disk") -> None:
        self._disk = disk
        self._left = 0

    def grow(self, size: int) -> None:
        """Promises `size` bytes more, or raises JobFailed(disk_full)."""
        with self._disk.lock:
            self._disk.check(size)
            self._disk.reserved += size
            self._left += size

    def taken(self, size: int) -> None:
        """`size` bytes are now missing from what is free, so they are promised no longer."""
        with self._disk.lock:
            size = min(size, self._left)
            self._disk.reserved -= size
            self._left -= size

    def end(self) -> None:
        self.taken(self._left)


class Disk:
    """The file system that holds `folder`; its reservations are seen by all jobs of this process."""

    def __init__(self, folder: Path, *, margin: int = SAFETY_MARGIN) -> None:
        self.folder = folder
        self.reserved = 0
        self.lock = threading.RLock()
        self._margin = margin

    def free(self) -> int:
        """Bytes that an ordinary user may still write."""
        return shutil.disk_usage(self.folder).free

    def check(self, needed: int) -> None:
        """Raises JobFailed(disk_full) when `needed` bytes do not fit beside what is promised already."""
        with self.lock:
            left = self.free() - self.reserved - self._margin
            if needed <= 0 or needed <= left:
                return
            raise disk_full(
                f"The disk has no room: {in_words(needed)} needed, {in_words(max(left, 0))} available "
                f"({in_words(self.reserved)} promised to other jobs)."
            )

    @contextmanager
    def reserve(self, size: int) -> Iterator[Reservation]:
        """Promises `size` bytes for the length of the block, or raises JobFailed(disk_full)."""
        reservation = Reservation(self)
        reservation.grow(size)
        try:
            yield reservation
        finally:
            reservation.end()
