"""The heartbeat: a thread of its own, also while the hive is fully busy. Renews leases, brings news, hears orders."""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hive.queen_client import QueenClient
from hive.runner import Runner
from hive.stop import Reason
from shared.errors import RbeeError, Unavailable
from shared.protocol import MAX_CHANGES, AttemptRef, Heartbeat, HeartbeatAnswer, HiveFacts, HiveSample
from shared.timing import HEARTBEAT, HEARTBEAT_JITTER, PROTOCOL

log = logging.getLogger(__name__)

FACTS_EVERY = 60
"""Beats between two full looks at the machine."""
REFUSED = frozenset({"identity_in_use", "removed", "unauthorized"})


Items = list[dict[str, Any]]
Inventory = dict[tuple[str, str], dict[str, Any]]
"""Items by kind and id."""


@dataclass(frozen=True)
class Machine:
    """What the heartbeat asks about this hive. `artifacts` is called only when `version` changed."""

    facts: Callable[[], HiveFacts]
    sample: Callable[[], HiveSample]
    version: Callable[[], int]
    artifacts: Callable[[], list[dict[str, Any]]]


class Heart:
    def __init__(
        self,
        queen: QueenClient,
        runner: Runner,
        machine: Machine,
        *,
        boot_id: str,
        previous_boot_id: str | None,
        refused: Callable[[str], None],
    ) -> None:
        self._queen = queen
        self._runner = runner
        runner.on_backlog = self.beat_soon
        self._machine = machine
        self._boot_id = boot_id
        self._previous_boot_id = previous_boot_id
        self._refused = refused
        self._stopping = threading.Event()
        self._soon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._known = False
        self._beats = 0
        self._sent_facts: HiveFacts | None = None
        self._sent_version: int | None = None
        self._told: Inventory = {}

    def start(self) -> None:
        self._thread.start()

    def beat_soon(self) -> None:
        """Something changed that the queen should know now."""
        self._soon.set()

    def stop(self) -> None:
        self._stopping.set()
        self._soon.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = HEARTBEAT * random.uniform(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)  # noqa: S311
            try:
                self._obey(self._beat())
            except Unavailable as error:
                log.warning("action=heartbeat error=%s", error.message)
                wait = min(wait, 2.0)
            except RbeeError as error:
                if error.code in REFUSED:
                    self._refused(error.message)
                    return
                log.error("action=heartbeat code=%s error=%s", error.code, error.message)
            except Exception:
                log.exception("action=heartbeat")
            self._soon.wait(wait)
            self._soon.clear()

    def _beat(self) -> HeartbeatAnswer:
        version = self._machine.version()
        look = not self._known or self._beats % FACTS_EVERY == 0
        facts = self._machine.facts() if look else None
        news = facts if facts is not None and not _same(facts, self._sent_facts) else None
        inventory = self._inventory() if not self._known or version != self._sent_version else self._told
        whole, changes = self._news(inventory)
        answer = self._queen.heartbeat(
            Heartbeat(
                protocol=PROTOCOL,
                boot_id=self._boot_id,
                previous_boot_id=self._previous_boot_id,
                first=not self._known,
                attempts=self._runner.attempts(),
                facts=news,
                sample=None if news else self._machine.sample(),
                artifacts=whole,
                changes=changes,
            )
        )
        self._known = not answer.facts_wanted
        self._beats += 1
        self._sent_facts = facts or self._sent_facts
        self._sent_version = version
        self._told = inventory
        return answer

    def _inventory(self) -> Inventory:
        return {(item["kind"], item["id"]): item for item in self._machine.artifacts()}

    def _news(self, inventory: Inventory) -> tuple[Items | None, Items]:
        """The whole inventory, or what changed in it since the queen last heard."""
        if not self._known:
            return list(inventory.values()), []
        changes = [item for key, item in inventory.items() if self._told.get(key) != item]
        changes += [
            {"kind": kind, "id": name, "status": "gone"}
            for kind, name in self._told.keys() - inventory.keys()
        ]
        return (list(inventory.values()), []) if len(changes) > MAX_CHANGES else (None, changes)

    def _obey(self, answer: HeartbeatAnswer) -> None:
        self._stop_all(answer.lost, Reason.LOST)
        self._stop_all(answer.cancel, Reason.CANCEL)
        self._stop_all(answer.pause, Reason.PAUSE)
        for job_id, seq in answer.recorded.items():
            self._runner.recorded(job_id, seq)
        if answer.work:
            self._runner.look_for_work(answer.work)

    def _stop_all(self, attempts: list[AttemptRef], reason: Reason) -> None:
        for one in attempts:
            self._runner.stop(one.job_id, one.attempt, reason)


def _same(facts: HiveFacts, sent: HiveFacts | None) -> bool:
    """Whether nothing changed but the numbers that samples carry."""
    if sent is None:
        return False
    return _lasting(facts) == _lasting(sent)


def _lasting(facts: HiveFacts) -> dict[str, Any]:
    lasting = facts.model_dump(exclude={"memory_available", "disk_free"})
    lasting["devices"] = [{k: v for k, v in device.items() if k != "memory_free"} for device in facts.devices]
    return lasting
