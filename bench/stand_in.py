"""A hive that is not there: it joins by token, beats, claims and narrates as the protocol says, and does no work."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import requests
from redis import Redis

from shared.ids import new_boot_id, new_claim_id
from shared.narration import Line, as_event
from shared.operations import LANE_WIDTHS, OPERATIONS
from shared.protocol import HiveFacts, HiveSample
from shared.routing import narration_stream
from shared.timing import PROTOCOL
from tests.stack import Stack

GIB = 1 << 30


def facts(name: str) -> HiveFacts:
    """A machine with two GPUs."""
    devices = [
        {
            "id": f"cuda:{n}",
            "kind": "cuda",
            "name": "A GPU",
            "memory_total": 24 * GIB,
            "memory_free": 20 * GIB,
        }
        for n in (0, 1)
    ]
    return HiveFacts(
        platform="linux",
        arch="x86_64",
        hostname=name,
        capabilities=["cuda", "cpu"],
        devices=devices,
        cpu_count=16,
        memory_total=64 * GIB,
        memory_available=48 * GIB,
        disk_total=2000 * GIB,
        disk_free=1000 * GIB,
        operations=sorted(OPERATIONS),
        lanes=dict(LANE_WIDTHS),
        version="0",
    )


def sample(number: int) -> HiveSample:
    """Never twice the same."""
    return HiveSample(
        memory_available=48 * GIB - number,
        disk_free=1000 * GIB - number,
        devices={"cuda:0": 20 * GIB - number},
    )


@dataclass(frozen=True)
class Member:
    """Who a stand-in is."""

    id: str
    token: str
    broker_url: str
    name: str


def join(stack: Stack, name: str) -> Member:
    made = stack.session.post(f"{stack.url}/v1/join-tokens", timeout=60)
    made.raise_for_status()
    text = made.json()["token"]
    secret = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["token"]
    body = {"token": secret, "name": name, "protocol": PROTOCOL, "facts": facts(name).model_dump(mode="json")}
    answer = requests.post(f"{stack.url}/v1/hives", json=body, timeout=60)
    answer.raise_for_status()
    told = answer.json()
    return Member(told["id"], told["token"], told["broker_url"], name)


class StandIn:
    """One such hive with one running job, driven by its caller."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self.member = join(stack, name)
        self._boot_id = new_boot_id()
        self._redis = Redis.from_url(self.member.broker_url)
        self._first = True
        self._seq = 0
        self._job: dict[str, Any] = {}

    def beat(self) -> None:
        attempts = (
            [{key: self._job[key] for key in ("job_id", "attempt", "claim_id")} | {"seq": self._seq}]
            if self._job
            else []
        )
        body = {"protocol": PROTOCOL, "boot_id": self._boot_id, "first": self._first, "attempts": attempts}
        self._post("heartbeat", body | {"sample": sample(0).model_dump()})
        self._first = False

    def take_download(self, model: str) -> str:
        """Submits a download for itself and claims it; returns the job's id."""
        self.beat()
        self._stack.submit("model_download", {"hive": self.member.id}, model=model)
        request = {"claim_id": new_claim_id(), "boot_id": self._boot_id, "lanes": {"download": 1}}
        self._job = self._post("claims", request)["grants"][0]
        return str(self._job["job_id"])

    def say(self, text: str) -> None:
        self._seq += 1
        event = as_event(
            Line(text),
            job_id=self._job["job_id"],
            attempt=self._job["attempt"],
            seq=self._seq,
            at=time.time(),
        )
        self._redis.xadd(narration_stream(self.member.id), {"e": json.dumps(event)})

    def close(self) -> None:
        self._redis.close()

    def _post(self, noun: str, body: dict[str, Any]) -> Any:
        answer = requests.post(
            f"{self._stack.url}/v1/hives/{self.member.id}/{noun}",
            json=body,
            headers={"Authorization": f"Bearer {self.member.token}"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()
