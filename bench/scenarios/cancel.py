"""A running download is cancelled: from the DELETE until its last socket is closed."""

import time
from pathlib import Path

from bench.contest import wait_end
from bench.context import Context
from bench.quantiles import milliseconds, percentile
from bench.report import Outcome
from tests.hubs.file_server import FileServer
from tests.stack import Stack

RATE = 1 << 20
"""Bytes a second of one connection: slow enough that no download ends by itself."""
SIZE = 64 << 20
_ESTABLISHED = "01"


def run(context: Context) -> Outcome:
    times = context.rounds_or(50, 5)
    closed: list[float] = []
    told: list[float] = []
    connections: list[int] = []
    with FileServer() as server, Stack(context.folder / "stack") as stack:
        port = int(server.host.rsplit(":", 1)[1])
        body = b"GGUF" + bytes(SIZE - 4)
        for number in range(times):
            served = server.add(f"{number}.gguf", body, rate=RATE)
            job_id = stack.submit("model_download", model=server.url(f"{number}.gguf"))
            _wait_until_it_flows(served, port)
            connections.append(open_to(port))
            start = time.perf_counter()
            response = stack.session.delete(f"{stack.url}/v1/jobs/{job_id}", timeout=20)
            assert response.status_code == 202, response.text
            while open_to(port):
                assert time.perf_counter() - start < 30, "a socket stays open"
                time.sleep(0.001)
            closed.append(time.perf_counter() - start)
            assert wait_end(stack, job_id) == "cancelled"
            told.append(time.perf_counter() - start)
            wait_end(stack, stack.submit("model_delete", model=server.url(f"{number}.gguf")))
            del server.files[f"{number}.gguf"]
    outcome = Outcome()
    outcome.at_most(
        "DELETE until the last socket is closed, p50", percentile(closed, 0.5), 0.2, "s", digits=3
    )
    outcome.at_most("DELETE until the last socket is closed, worst", max(closed), 1.0, "s", digits=3)
    outcome.state("the same, p50 / p95 / p99 / worst", milliseconds(closed))
    outcome.state("DELETE until `end` says cancelled", milliseconds(told))
    outcome.notes.append(
        f"{times} cancels while {min(connections)} to {max(connections)} connections carry bytes; "
        "the sockets are counted in the kernel's table."
    )
    outcome.raw |= {"closed_s": closed, "end_s": told, "connections": connections}
    return outcome


def open_to(port: int) -> int:
    """Connections of this machine that lead to `port`, as the kernel lists them."""
    suffix = f":{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[2].endswith(suffix) and row[3] == _ESTABLISHED)


def _wait_until_it_flows(served, port: int) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 30
    while served.sent < RATE or not open_to(port):
        assert time.monotonic() < end, "the download does not begin"
        time.sleep(0.01)
