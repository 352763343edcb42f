"""The data file of a download in progress: allocated whole, written at any position."""

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path

from hive.disk import Reservation, disk_full, in_words
from shared.errors import JobFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Part:
    """Open for reading and writing from `open` to `close`. Positional, so threads need no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self.is_sparse = False
        """Whether the file system gives the room only as it is written."""

    def open(self) -> int:
        """The size of the data file in bytes, 0 for a new one."""
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise storage_failed(error) from error

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def allocated(self) -> int:
        """Bytes that the file system has given to the file so far."""
        return self.path.stat().st_blocks * 512 if self.path.exists() else 0

    def allocate(self, size: int, reservation: Reservation) -> None:
        """Claims the room now, so that a full disk shows early; sparse where it cannot be claimed."""
        before = os.fstat(self._fd).st_blocks * 512
        try:
            self.is_sparse = not _fallocate(self._fd, size)
            if self.is_sparse:
                os.ftruncate(self._fd, size)
        except OSError as error:
            raise storage_failed(error, size) from error
        reservation.taken(max(0, os.fstat(self._fd).st_blocks * 512 - before))

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def write(self, view: memoryview, at: int) -> None:
        try:
            while view:
                count = os.pwrite(self._fd, view, at)
                view, at = view[count:], at + count
        except OSError as error:
            raise storage_failed(error) from error

    def read(self, view: memoryview, at: int) -> int:
        try:
            return os.preadv(self._fd, [view], at)
        except OSError as error:
            raise storage_failed(error) from error

    def sync(self) -> None:
        try:
            if sys.platform == "linux":
                os.fdatasync(self._fd)
            else:
                os.fsync(self._fd)
        except OSError as error:
            raise storage_failed(error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def storage_failed(error: OSError, size: int | None = None) -> JobFailed:
    """The disk's errors in words; the partial file stays."""
    if error.errno in _FULL:
        room = f"{in_words(size)} do not fit" if size else "it filled up while writing"
        return disk_full(f"The disk has no room: {room}. What has arrived is kept.")
    return JobFailed(
        f"The disk of this machine fails ({(error.strerror or 'input/output error').lower()}).",
        code="disk_error",
        hint="Check the data folder's file system and permissions, then retry the job: it resumes.",
    )


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _fallocate(fd: int, size: int) -> bool:
    """fallocate(2) itself: glibc's posix_fallocate writes every block where the file system cannot."""
    if sys.platform != "linux" or size == 0:
        return False
    if _libc().fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _FULL:
        raise OSError(code, os.strerror(code))
    return False
