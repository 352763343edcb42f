"""What a probe is given: the machine to look at. A test hands over recorded outputs instead."""

import platform
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, TypeVar

T = TypeVar("T")

Run = Callable[[list[str]], str | None]
"""Runs an argv; its standard output, None for whatever goes wrong."""

_COMMAND_SECONDS = 10.0
_MAX_OUTPUT = 4 * 1024 * 1024
"""Characters."""
_NAME_LENGTH = 256
MAX_VRAM = 1 << 40
"""Bytes. More than 1 TiB on one device is a driver's mistake."""


class _DeviceFields(TypedDict):
    id: str
    kind: str
    name: str
    memory_total: int
    memory_free: int


class Device(_DeviceFields, total=False):
    """A thing that models run on. Bytes; `id` is `GPU-0`, `METAL-0` or `CPU-0`."""

    compute_capability: str
    driver: str
    bus_id: str
    cores: int


Finding = dict[str, Any]
"""Part of the hive's facts; `devices` of several findings are joined."""


def run_command(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout[:_MAX_OUTPUT] if done.returncode == 0 else None


def load_nvml() -> ModuleType | None:
    """The NVML bindings, if they are installed; whether there is a driver shows when they are asked."""
    try:
        import pynvml
    except ImportError:
        return None
    module: ModuleType = pynvml
    return module


@dataclass(frozen=True)
class Machine:
    data_dir: Path
    """Whose file system counts."""
    run: Run = run_command
    nvml: Any = field(default_factory=load_nvml)
    system: str = field(default_factory=lambda: platform.system().lower())
    """`linux` or `darwin`."""
    arch: str = field(default_factory=lambda: platform.machine().lower())
    wedged: threading.Event = field(default_factory=threading.Event)
    """Set when the driver did not answer in time: it is asked no more."""


def within(seconds: float, question: Callable[[], T]) -> T | None:
    """The answer, or None when it takes longer: a wedged driver must not hang a hive.

    The thread is left behind, so ask no second time.
    """
    answers: list[T] = []
    thread = threading.Thread(target=lambda: answers.append(question()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


def clean_name(name: object, otherwise: str) -> str:
    """At most 256 characters, without control characters."""
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    text = "".join(sign for sign in text if sign.isprintable()).strip()[:_NAME_LENGTH]
    return text or otherwise


def memory_of(total: int, free: int) -> tuple[int, int]:
    """Total and free bytes as they can be: nothing negative, at most 1 TiB, never more free than there is."""
    total = min(max(total, 0), MAX_VRAM)
    return total, min(max(free, 0), total)
