"""The machine and the programs, in words that name no path and no host."""

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from queen.broker_server import find_server

_PACKAGES = ("rbee", "celery", "redis", "flask", "flask-sse", "gunicorn", "huggingface_hub")
_PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "curl": ["curl", "--version"],
    "aria2": ["aria2c", "--version"],
    "openssl": ["openssl", "version"],
}


def describe() -> dict[str, str]:
    broker = find_server()
    return {
        "machine": f"{os.cpu_count()} cores of {_processor()}, {psutil.virtual_memory().total / 2**30:.0f} GiB memory, "
        f"{platform.system()} {platform.release().split('-')[0]}, {_distribution()}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _package(name))),
        "programs": ", ".join(
            [
                f"{broker.name} {'.'.join(map(str, broker.version))}",
                *(f"{name} {_program(argv)}" for name, argv in _PROGRAMS.items() if shutil.which(argv[0])),
            ]
        ),
    }


def conditions() -> dict[str, str]:
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _program(argv: list[str]) -> str:
    answer = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    match = re.search(r"\d+(?:\.\d+)+[a-z]?", answer.stdout + answer.stderr)
    return match[0] if match else "?"


def _processor() -> str:
    try:
        match = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return ""
