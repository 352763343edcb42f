"""The files of a set that are fetched and verified, so that a restart does neither again."""

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.ids import is_traversal
from shared.plan import PlannedFile


@dataclass(frozen=True)
class FetchedFile:
    """A verified file: its path in the folder, its size in bytes, its SHA-256 in lower-case hex."""

    path: str
    size: int
    sha256: str


class FinishedFiles:
    """An append-only list of JSON lines, each written after the bytes of its file are synced. Thread-safe."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._known = self._load()

    def find(self, planned: PlannedFile) -> FetchedFile | None:
        """What is known of exactly this content, if the file still is as it was when it was verified."""
        record = self._known.get(planned.path)
        if record is None or (planned.size is not None and record["size"] != planned.size):
            return None
        wanted = ("sha256", planned.sha256) if planned.sha256 else ("url", _address(planned))
        if record[wanted[0]] != wanted[1] or self._facts(planned.path) != (
            record["size"],
            record["mtime_ns"],
        ):
            return None
        return FetchedFile(planned.path, record["size"], record["sha256"])

    def add(self, planned: PlannedFile, fetched: FetchedFile) -> None:
        facts = self._facts(planned.path)
        assert facts is not None
        record = {**asdict(fetched), "mtime_ns": facts[1], "url": _address(planned)}
        with self._lock:
            self._known[planned.path] = record
            os.write(self._fd, (json.dumps(record) + "\n").encode())

    def forget_all_but(self, paths: set[str]) -> None:
        """Removes verified files that the plan no longer names: they would be published with the rest."""
        for path in self._known.keys() - paths:
            if is_traversal(path):
                continue
            stale = self._folder / path
            with suppress(OSError):
                stale.unlink(missing_ok=True)
                for parent in stale.relative_to(self._folder).parents[:-1]:
                    (self._folder / parent).rmdir()

    def close(self) -> None:
        os.close(self._fd)

    def sync(self) -> None:
        os.fsync(self._fd)

    def _facts(self, path: str) -> tuple[int, int] | None:
        try:
            facts = (self._folder / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_size, facts.st_mtime_ns

    def _load(self) -> dict[str, dict[str, Any]]:
        """Lines that are torn or strange are left out: their files are fetched again."""
        known: dict[str, dict[str, Any]] = {}
        text = self._path.read_bytes()
        for line in text.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"path", "size", "sha256", "mtime_ns", "url"} <= record.keys():
                known[str(record["path"])] = record
        if text and not text.endswith(b"\n"):
            os.write(self._fd, b"\n")
        return known


def _address(planned: PlannedFile) -> str:
    """Without the query, where signatures and tokens live."""
    return planned.url.split("?", 1)[0]
