"""One supervised program through all its starts and ends."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from queen.console import Lines
from queen.group_guard import GroupGuard

LONGEST_PAUSE = 30.0
"""Seconds between two starts; they double from one second."""
STABLE = 60.0
"""Seconds after which a program counts as having worked: the next pause is one second again."""


@dataclass(frozen=True)
class Process:
    """`env` is added to ours. `ready` is asked often until it is true; it must answer at once."""

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 1.5
    """How long the programs started before it wait, when all are stopped, for this one to end."""
    log: Path | None = None
    """Where it writes what it does not print; the last lines are shown when it ends unasked."""


class Child:
    """Its own session and process group, so that a signal reaches what it started and Ctrl-C does not."""

    def __init__(self, process: Process, run_dir: Path, guard: GroupGuard) -> None:
        self.process = process
        self.name = process.name
        self.failures = 0
        self.is_ready = False
        self.due = 0.0
        """When to start it (monotonic)."""
        self.stop_by = 0.0
        """When those started before it wait no longer for its end (monotonic)."""
        self.output: int | None = None
        """The descriptor of what it prints, while that is open."""
        self._lines = Lines()
        self._record = run_dir / f"{process.name}.json"
        self._guard = guard
        self._started = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._popen is not None

    def start(self) -> int:
        """Returns `output`."""
        self.output, writer = os.pipe()
        os.set_blocking(self.output, False)
        self._popen = subprocess.Popen(
            self.process.argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.process.env},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
        )
        os.close(writer)
        self._guard.watch(self._popen.pid)
        self._lines = Lines()
        self._started = time.monotonic()
        self._write_record(self._popen.pid)
        return self.output

    def read(self) -> tuple[list[str], bool]:
        """The lines that wait, and whether there will be no more."""
        lines: list[str] = []
        while self.output is not None:
            try:
                data = os.read(self.output, 65536)
            except BlockingIOError:
                return lines, False
            lines += self._lines.feed(data)
            if not data:
                return lines, True
        return lines, True

    def close_output(self) -> None:
        if self.output is not None:
            os.close(self.output)
            self.output = None

    def check_ready(self) -> bool:
        self.is_ready = self.is_ready or (self.alive and (self.process.ready is None or self.process.ready()))
        return self.is_ready

    def ended(self) -> int | None:
        """The exit status, once, when it has ended since the last call; negative is a signal."""
        if self._popen is None or (status := self._popen.poll()) is None:
            return None
        self.signal(signal.SIGKILL)  # what it left behind in its group
        self._guard.forget(self._popen.pid)
        self._popen = None
        self.is_ready = False
        self._record.unlink(missing_ok=True)
        self.failures = 1 if time.monotonic() - self._started > STABLE else self.failures + 1
        self.due = time.monotonic() + self.pause
        return status

    @property
    def pause(self) -> float:
        """Seconds until it is started again."""
        return float(min(LONGEST_PAUSE, 2.0 ** (self.failures - 1)))

    def stop(self) -> None:
        """Asks it to end, once."""
        if not self.stop_by:
            self.stop_by = time.monotonic() + self.process.stop_seconds
            self.signal(self.process.stop_signal)

    def signal(self, number: signal.Signals) -> None:
        """To its whole group."""
        if self._popen is None:
            return
        try:
            os.killpg(self._popen.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            return

    def last_log(self, lines: int = 5) -> list[str]:
        if self.process.log is None or not self.process.log.is_file():
            return []
        return self.process.log.read_text(errors="replace").splitlines()[-lines:]

    def _write_record(self, pid: int) -> None:
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": pid, "started": time.time()}))
        fresh.replace(self._record)
