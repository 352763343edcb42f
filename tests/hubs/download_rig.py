"""Runs the downloader against a file server the way a job does, and keeps what it said."""

import hashlib
import random
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import psutil

from hive.disk import Disk
from hive.download import Downloader, FetchedFile, Origins
from hive.stop import Stop
from shared.narration import Line, Progress, Said
from shared.plan import Plan, PlannedFile

MIB = 1 << 20


def noise(size: int, seed: int = 1) -> bytes:
    """The same bytes for the same seed, and no two stretches alike."""
    return random.Random(seed).randbytes(size)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def planned(url: str, body: bytes | None, *, path: str = "model.gguf", **more: Any) -> PlannedFile:
    """A planned file that knows size and hash of `body`; None for a vendor that knows neither."""
    known = {} if body is None else {"size": len(body), "sha256": sha256(body)}
    return PlannedFile(path=path, url=url, **{**known, **more})


def plan_of(*files: PlannedFile) -> Plan:
    return Plan(vendor="url", model="a-model", files=list(files))


class Rig:
    """A downloader with short patience on a folder of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "partial"
        self.stop = Stop()
        self.lines: list[str] = []
        self.progress: list[Progress] = []
        defaults: dict[str, Any] = {
            "origins": Origins(["127.0.0.1"]),
            "disk": Disk(folder, margin=0),
            "stall_timeout": 10.0,
            "first_delay": 0.01,
        }
        self.downloader = Downloader(**{**defaults, **settings})

    def start(
        self, *files: PlannedFile, headers: Mapping[str, str] | None = None, bandwidth: int | None = None
    ) -> Generator[Said, None, list[FetchedFile]]:
        plan = plan_of(*files)
        return self.downloader.fetch(plan, self.folder, headers=headers, stop=self.stop, bandwidth=bandwidth)

    def fetch(self, *files: PlannedFile, **more: Any) -> list[FetchedFile]:
        """To the end; what was said is in `lines` and `progress`."""
        job = self.start(*files, **more)
        while True:
            try:
                self._hear(next(job))
            except StopIteration as end:
                return list(end.value)

    def fetch_until(
        self, done: int, *files: PlannedFile, **more: Any
    ) -> Generator[Said, None, list[FetchedFile]]:
        """Until `done` bytes are here; the suspended job."""
        job = self.start(*files, **more)
        for said in job:
            self._hear(said)
            if isinstance(said, Progress) and said.done >= done:
                return job
        raise AssertionError("the job ended before it was so far")

    def read(self, path: str = "model.gguf") -> bytes:
        return (self.folder / path).read_bytes()

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def _hear(self, said: Said) -> None:
        if isinstance(said, Line):
            self.lines.append(said.text)
        elif isinstance(said, Progress):
            self.progress.append(said)


def leftovers(before: tuple[list[str], list[Any]] = ([], [])) -> tuple[list[str], list[Any]]:
    """Threads of downloads, and this process's open client sockets, but for those there were `before`."""
    names = (thread.name for thread in threading.enumerate())
    threads = [name for name in names if name.startswith(("download", "look-up")) and name not in before[0]]
    connections = psutil.Process().net_connections("tcp")
    listening = {found.laddr for found in connections if found.status == "LISTEN"}
    known = {found.laddr for found in before[1]}
    clients = [found for found in connections if found.raddr and found.laddr not in listening | known]
    return threads, clients
