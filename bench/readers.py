"""Many readers of one event stream, in a process of their own. Events carry the time they were made at as `@seconds@`.

Hears `{host, port, path, headers, count}`; tells `{open}` when every reader has had an answer; a line in, the findings out.
"""

import asyncio
import re
import sys
import time
from typing import Any

from bench.child import tell
from bench.quantiles import percentile

_STAMP = re.compile(rb"@(\d+\.\d{6})@")
_AT_ONCE = 25


class Reader(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._kept = b""
        self._newest = 0.0
        self.answered = asyncio.get_running_loop().create_future()
        self.status = 0
        self.delays: list[float] = []
        self.repeated = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.answered.done():
            self.status = int(data.split(b" ", 2)[1])
            self.answered.set_result(None)
        data = self._kept + data
        end = 0
        for match in _STAMP.finditer(data):
            made = float(match[1])
            end = match.end()
            if made > self._newest:
                self._newest = made
                self.delays.append(now - made)
            else:
                self.repeated += 1
        self._kept = data[max(end, len(data) - 40) :]

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        if not self.answered.done():
            self.answered.set_result(None)


async def run(start: dict[str, Any]) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in start["headers"].items())
    host = f"{start['host']}:{start['port']}"
    request = (
        f"GET {start['path']} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{headers}\r\n".encode()
    )
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for at in range(0, start["count"], _AT_ONCE):
        made = [
            await loop.create_connection(lambda: Reader(request), start["host"], start["port"])
            for _ in range(min(_AT_ONCE, start["count"] - at))
        ]
        readers += [reader for _, reader in made]
        await asyncio.wait_for(asyncio.gather(*(reader.answered for _, reader in made)), 60)
    tell({"open": sum(reader.status == 200 and not reader.lost for reader in readers)})
    await loop.run_in_executor(None, sys.stdin.readline)
    tell(findings(readers))


def findings(readers: list[Reader]) -> dict[str, Any]:
    delays = [delay for reader in readers for delay in reader.delays]
    counts = [len(reader.delays) for reader in readers]
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}
    return {
        "delivered": sum(counts),
        "least": min(counts),
        "most": max(counts),
        "repeated": sum(reader.repeated for reader in readers),
        "lost": sum(reader.lost for reader in readers),
        **{name: percentile(delays, share) if delays else None for name, share in shares.items()},
    }


if __name__ == "__main__":
    import json

    asyncio.run(run(json.loads(sys.stdin.readline())))
