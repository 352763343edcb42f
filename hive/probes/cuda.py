"""CUDA devices: by the driver's library, else by its command. Whatever goes wrong means no GPU."""

import time

from hive.probes import nvidia_smi, nvml
from hive.probes.machine import Device, Finding, Machine

_SLOW = 2.0
"""Seconds."""


def probe(machine: Machine) -> Finding:
    return {"devices": devices(machine)}


def free_memory(machine: Machine) -> dict[str, int]:
    """Free bytes by device id; once a driver answers slowly it is asked no more, for the heartbeat's sake."""
    if machine.wedged.is_set():
        return {}
    started = time.monotonic()
    found = devices(machine)
    if time.monotonic() - started > _SLOW:
        machine.wedged.set()
    return {device["id"]: device["memory_free"] for device in found}


def devices(machine: Machine) -> list[Device]:
    if machine.system == "darwin":
        return []
    found = nvml.devices(machine)
    return nvidia_smi.devices(machine) if found is None else found
