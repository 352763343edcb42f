"""CPU seconds and memory of processes with all that they started."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.stack import Stack

NAMES = ("web", "recorder", "broker", "hive", "queen")
MIB = 1 << 20


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, of what it started, and of what that already ended."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def pss(pid: int) -> int:
    """Bytes; shared pages are divided among those who share them."""
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total


def rss(pid: int) -> int:
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss(pid: int) -> int:
    """Bytes: the kernel's own high-water mark since `reset_peak`; no sampling misses it."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


class StackMeter:
    """CPU seconds of a stack's processes since it was made, by name."""

    def __init__(self, stack: Stack, names: Sequence[str] = NAMES) -> None:
        self._pids = {name: stack.pid(name) for name in names}
        self._wall = time.perf_counter()
        self._before = self._now()

    def read(self) -> dict[str, float]:
        return {name: seconds - self._before[name] for name, seconds in self._now().items()}

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._wall

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    wall: float
    cpu: float


def timed(*commands: Sequence[str], env: Mapping[str, str] | None = None) -> Timing:
    """Runs commands one after another, each of which must succeed."""
    start, cpu = time.perf_counter(), 0.0
    for argv in commands:
        child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stderr.close()
        if child.returncode:
            raise RuntimeError(
                f"{argv[0]} ended with {child.returncode}: {said.decode(errors='replace')[-500:]}"
            )
        cpu += used.ru_utime + used.ru_stime
    return Timing(time.perf_counter() - start, cpu)


def end(process: subprocess.Popen, within: float = 10.0) -> None:  # type: ignore[type-arg]
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
