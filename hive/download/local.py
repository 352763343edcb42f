"""A file of this machine, spoken to as if it were a host: same pieces, same checks, same stop."""

import os
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hive.download.answer import Answer
from shared.errors import JobFailed

HOST = "this machine"


class LocalBody:
    """Bytes `start`..`end` (exclusive) of an open file; it owns the descriptor."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd: int | None = fd
        self._at = start
        self._end = end
        self.length: int | None = end - start

    def readinto(self, view: memoryview) -> int:
        if self._fd is None:
            return 0
        count = os.preadv(self._fd, [view[: self._end - self._at]], self._at)
        self._at += count
        if self._at >= self._end or count == 0:
            self.close()
        return count

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def open_local(url: str, headers: Mapping[str, str]) -> Answer:
    """Answers 206 for `Range: bytes=first-[last]`, with the time and size of the file as its ETag."""
    path = Path(unquote(urlsplit(url).path))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    facts = os.fstat(fd)
    if not path.is_file():
        os.close(fd)
        raise _unreadable(path, None)
    first, _, last = headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last) + 1, facts.st_size) if last else facts.st_size
    answer = HTTPMessage()
    answer["ETag"] = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"'
    if start >= end:
        os.close(fd)
        answer["Content-Range"] = f"bytes */{facts.st_size}"
        return Answer(416, answer, LocalBody(os.open(os.devnull, os.O_RDONLY), 0, 0), HOST)
    answer["Content-Range"] = f"bytes {start}-{end - 1}/{facts.st_size}"
    return Answer(206, answer, LocalBody(fd, start, end), HOST)


def _unreadable(path: Path, error: OSError | None) -> JobFailed:
    reason = (error.strerror or "error").lower() if error else "not a regular file"
    code = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
    return JobFailed(
        f"{path.name} cannot be read on this machine ({reason}).",
        code=code,
        hint="Check the path and its permissions for the user that runs the hive.",
    )
