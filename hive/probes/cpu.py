"""The processor, which every hive has."""

import os
from pathlib import Path

import psutil

from hive.probes.machine import Device, Finding, Machine, clean_name

MAC_QUERY = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
_CPUINFO = Path("/proc/cpuinfo")


def probe(machine: Machine) -> Finding:
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    device = Device(
        id="CPU-0",
        kind="cpu",
        name=_name(machine),
        memory_total=total,
        memory_free=min(free, total),
        cores=psutil.cpu_count(logical=False) or usable(),
    )
    return {"devices": [device], "cpu_count": usable()}


def usable() -> int:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def _name(machine: Machine) -> str:
    otherwise = f"{machine.arch or 'unknown'} processor"
    if machine.system == "darwin":
        return clean_name(machine.run(MAC_QUERY) or "", otherwise)
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return otherwise
    names = [line.partition(":")[2] for line in lines if line.lower().startswith(("model name", "hardware"))]
    return clean_name(names[0], otherwise) if names else otherwise
