"""Many hives in one process: each beats every 5 s ± 20 %; the busy ones claim a download and narrate it as their own broker user.

Hears `{host, port, members: [{id, name, token, broker_url}], busy: [id, …]}`; every line in is answered with what was found
since the last one.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from bench.child import tell
from bench.stand_in import facts, sample
from shared.ids import new_boot_id, new_claim_id
from shared.narration import Line, Progress, Said, as_event
from shared.routing import narration_stream
from shared.timing import HEARTBEAT, HEARTBEAT_JITTER, PROTOCOL

TOTAL = 40 << 30
"""Bytes of each pretended download."""
PROGRESS_EVERY, LINE_EVERY = 0.25, 1.0
TIMEOUT = 20.0


class Findings:
    def __init__(self) -> None:
        self.beats: list[float] = []
        self.failed: dict[str, int] = {}
        self.said = 0
        self.running = 0

    def fail(self, reason: str) -> None:
        self.failed[reason] = self.failed.get(reason, 0) + 1

    def take(self) -> dict[str, Any]:
        found = {"beats": self.beats, "failed": self.failed, "said": self.said, "running": self.running}
        self.beats, self.failed, self.said = [], {}, 0
        return found


class Connection:
    """HTTP/1.1 with keep-alive; one request at a time; opened again when it was closed."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port, self._token = host, port, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        for attempt in (1, 2):
            try:
                return await asyncio.wait_for(self._post(path, json.dumps(body).encode()), TIMEOUT)
            except (OSError, asyncio.IncompleteReadError):
                self._close()
                if attempt == 2:
                    raise
            except TimeoutError:
                self._close()
                raise
        raise AssertionError

    async def _post(self, path: str, body: bytes) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])
        }
        content = await reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection", "").lower() == "close":
            self._close()
        return int(answer[0].split()[1]), json.loads(content) if content else None

    def _close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


class Hive:
    def __init__(self, start: dict[str, Any], member: dict[str, str], findings: Findings) -> None:
        self.id = member["id"]
        self._member = member
        self._findings = findings
        self._connection = Connection(start["host"], start["port"], member["token"])
        self._claiming = Connection(start["host"], start["port"], member["token"])
        self._boot_id = new_boot_id()
        self._beats = 0
        self._job: dict[str, Any] | None = None
        self._seq = 0

    async def live(self) -> None:
        await asyncio.sleep(random.uniform(0, HEARTBEAT))
        while True:
            wait = HEARTBEAT * random.uniform(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)
            await self._beat()
            await asyncio.sleep(wait)

    async def work(self) -> None:
        """Claims what waits for this hive, then narrates for ever."""
        while self._job is None:
            await asyncio.sleep(1)
            if self._beats:
                await self._claim()
        self._findings.running += 1
        redis = Redis.from_url(self._member["broker_url"])
        begun, number = time.monotonic(), 0
        while True:
            number += 1
            done = int((time.monotonic() - begun) * 100e6)
            await self._say(redis, Progress(done, TOTAL, "bytes", "download", 100e6, (TOTAL - done) / 100e6))
            if number % round(LINE_EVERY / PROGRESS_EVERY) == 0:
                await self._say(redis, Line(f"Has fetched {done / 1e9:.1f} GB of the pretended model."))
            await asyncio.sleep(max(0.0, begun + number * PROGRESS_EVERY - time.monotonic()))

    async def _beat(self) -> None:
        first = self._beats == 0
        body: dict[str, Any] = {
            "protocol": PROTOCOL,
            "boot_id": self._boot_id,
            "first": first,
            "attempts": [],
        }
        if first:
            body |= {"facts": facts(self._member["name"]).model_dump(mode="json"), "artifacts": _artifacts()}
        else:
            body["sample"] = sample(self._beats).model_dump()
        if self._job:
            body["attempts"] = [
                {key: self._job[key] for key in ("job_id", "attempt", "claim_id")} | {"seq": self._seq}
            ]
        begun = time.perf_counter()
        try:
            status, answer = await self._connection.post(f"/v1/hives/{self.id}/heartbeat", body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._findings.fail(type(error).__name__)
            return
        if status == 200:
            self._beats += 1
            self._findings.beats.append(time.perf_counter() - begun)
            if answer["lost"]:
                self._findings.fail("lost")
        else:
            self._findings.fail(f"status {status}")

    async def _claim(self) -> None:
        request = {"claim_id": new_claim_id(), "boot_id": self._boot_id, "lanes": {"download": 1}}
        status, answer = await self._claiming.post(f"/v1/hives/{self.id}/claims", request)
        if status == 200 and answer["grants"]:
            self._job = answer["grants"][0]

    async def _say(self, redis: Redis, said: Said) -> None:
        assert self._job
        is_line = isinstance(said, Line)
        self._seq += is_line
        event = as_event(
            said,
            job_id=self._job["job_id"],
            attempt=self._job["attempt"],
            seq=self._seq if is_line else None,
            at=time.time(),
        )
        await redis.xadd(narration_stream(self.id), {"e": json.dumps(event)}, maxlen=50_000, approximate=True)
        self._findings.said += 1


def _artifacts() -> list[dict[str, Any]]:
    """Five models, as a hive of some months may have."""
    return [
        {
            "kind": "model",
            "id": f"org/model-{number}",
            "name": f"model-{number}",
            "status": "available",
            "size": 5 << 30,
            "vendor": "huggingface",
            "files": [{"path": "model.gguf", "size": 5 << 30, "sha256": f"{number:064x}"}],
        }
        for number in range(5)
    ]


async def run(start: dict[str, Any]) -> None:
    findings = Findings()
    hives = [Hive(start, member, findings) for member in start["members"]]
    busy = set(start["busy"])
    tasks = list(_tasks(hives, busy))
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        for task in tasks:
            if task.done() and (error := task.exception()):
                findings.fail(f"ended: {type(error).__name__}")
        tell(findings.take())


def _tasks(hives: Iterable[Hive], busy: set[str]) -> Iterable["asyncio.Task[None]"]:
    for hive in hives:
        yield asyncio.create_task(hive.live())
        if hive.id in busy:
            yield asyncio.create_task(hive.work())


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
