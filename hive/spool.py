"""The narration of one attempt on disk: what a broker loses is sent again from here.

A file of JSON lines, appended and flushed an event at a time, so that it outlives a killed process. Where the disk takes no
more, the rest of the attempt is kept in memory: a full disk must not silence or hang the job that says so.
"""

import contextlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)


class Spool:
    """Append-only; line n is the event of seq n. No disk fault leaves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._in_file: int | None = None
        """Lines that are in the file; None while all of them are."""
        self._in_memory: list[str] = []
        self._appended = 0
        self._file: IO[str] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            self._give_up_on_disk(error)

    def append(self, event: dict[str, Any]) -> str:
        """Keeps one event and returns its line, without the newline."""
        line = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            if self._in_file is None and self._file is not None:
                try:
                    self._file.write(line + "\n")
                    self._file.flush()
                except OSError as error:
                    self._give_up_on_disk(error)
            if self._in_file is not None:
                self._in_memory.append(line)
            self._appended += 1
        return line

    def after(self, seq: int) -> Iterator[str]:
        """The lines of the events above `seq`; a torn last line is left out."""
        with self._lock:
            in_file, in_memory = self._in_file, list(self._in_memory)
        yield from itertools.islice(self._lines(in_file), seq, None)
        yield from in_memory[max(seq - (in_file or 0), 0) :]

    def sync(self) -> None:
        """Makes it durable, as far as the disk allows."""
        with self._lock, contextlib.suppress(OSError):
            if self._file is not None and self._in_file is None:
                self._file.flush()
                os.fdatasync(self._file.fileno()) if hasattr(os, "fdatasync") else os.fsync(
                    self._file.fileno()
                )

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()

    def remove(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _lines(self, count: int | None) -> Iterator[str]:
        """The whole lines of the file, at most `count`."""
        if count == 0:
            return
        with self.path.open(encoding="utf-8") as file:
            for line in itertools.islice(file, count):
                if line.endswith("\n"):
                    yield line[:-1]

    def _give_up_on_disk(self, error: OSError) -> None:
        log.warning("action=spool error=%s", error.strerror)
        self._in_file = self._appended
