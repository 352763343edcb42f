"""The narration of one attempt on disk: what a broker loses is sent again from here.

A file of JSON lines, appended and flushed an event at a time, so that it outlives a killed process.
"""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Spool:
    """Append-only; `first` is the seq of the first line, always 1."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def append(self, event: dict[str, Any]) -> str:
        """Writes one event and returns its line, without the newline."""
        line = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
        return line

    def after(self, seq: int) -> Iterator[str]:
        """The lines of the events above `seq`; a torn last line is left out."""
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if number > seq and line.endswith("\n"):
                    yield line[:-1]

    def sync(self) -> None:
        """Makes it durable."""
        with self._lock:
            self._file.flush()
            os.fdatasync(self._file.fileno()) if hasattr(os, "fdatasync") else os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)
