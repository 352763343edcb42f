"""The machine's memory, in bytes."""

import psutil

from hive.probes.machine import Finding, Machine


def probe(machine: Machine) -> Finding:
    memory = psutil.virtual_memory()
    return {"memory_total": memory.total, "memory_available": memory.available}
