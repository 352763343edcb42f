"""The broker's server alone, for what is measured without rbee."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import end
from queen.broker_server import find_server, wait_ready
from tests.stack import free_port


@dataclass(frozen=True)
class Broker:
    url: str
    pid: int


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    argv = [
        str(find_server().path),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        if not wait_ready(url, 10):
            raise RuntimeError("the broker does not start")
        yield Broker(url, process.pid)
    finally:
        end(process)
