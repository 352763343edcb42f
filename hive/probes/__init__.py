"""What this machine is: one probe a file, one table. None raises; what cannot be found out is not there."""

from collections.abc import Callable
from typing import Any

import psutil

from hive.probes import cpu, cuda, disk, memory, metal, system
from hive.probes.machine import Finding, Machine
from shared.routing import CAPABILITIES

__all__ = ["PROBES", "Machine", "probe", "sample"]

PROBES: tuple[Callable[[Machine], Finding], ...] = (
    system.probe,
    cuda.probe,
    metal.probe,
    cpu.probe,
    memory.probe,
    disk.probe,
)


def probe(machine: Machine, override: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The fields of `shared.protocol.HiveFacts` that are the machine's.

    `override` (RBEE_CAPABILITIES) is taken as it stands, also for a device that is not there; devices of a
    capability that it leaves out are not told.
    """
    facts: dict[str, Any] = {"devices": []}
    for look in PROBES:
        finding = look(machine)
        facts["devices"] += finding.pop("devices", [])
        facts |= finding
    kinds = override or tuple(device["kind"] for device in facts["devices"])
    facts["capabilities"] = [capability for capability in CAPABILITIES if capability in kinds]
    facts["devices"] = [device for device in facts["devices"] if device["kind"] in kinds]
    return facts


def sample(machine: Machine, facts: dict[str, Any]) -> dict[str, Any]:
    """What changes between heartbeats: the fields of `shared.protocol.HiveSample`. Cheap."""
    available = psutil.virtual_memory().available
    free = {d["id"]: min(available, d["memory_total"]) for d in facts["devices"] if d["kind"] != "cuda"}
    if any(device["kind"] == "cuda" for device in facts["devices"]):
        known = {device["id"] for device in facts["devices"]}
        free |= {gpu: room for gpu, room in cuda.free_memory(machine).items() if gpu in known}
    return {
        "memory_available": available,
        "disk_free": disk.probe(machine)["disk_free"],
        "devices": free,
    }
