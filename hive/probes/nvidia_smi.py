"""NVIDIA devices, asked from the driver's command: for machines on which the library cannot be loaded."""

import shutil
from pathlib import Path

from hive.probes.machine import Device, Machine, clean_name, memory_of

_PLACES = (
    "/usr/bin/nvidia-smi",
    "/usr/local/bin/nvidia-smi",
    "/opt/nvidia/bin/nvidia-smi",
    "/usr/lib/wsl/lib/nvidia-smi",
)
_FIELDS = ("index", "name", "memory.total", "memory.free", "compute_cap", "pci.bus_id", "driver_version")
_MIB = 1024 * 1024
_MAX_DEVICES = 64


def query(executable: str) -> list[str]:
    return [executable, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]


def devices(machine: Machine) -> list[Device]:
    executable = shutil.which("nvidia-smi") or next(
        (place for place in _PLACES if Path(place).exists()), None
    )
    output = machine.run(query(executable or "nvidia-smi"))
    return parse(output or "")


def parse(output: str) -> list[Device]:
    """Lines of the query's CSV; those that make no sense are skipped."""
    found = [device for line in output.splitlines() if (device := _device(line))]
    return list({device["id"]: device for device in found}.values())[:_MAX_DEVICES]


def _device(line: str) -> Device | None:
    """A name may hold commas, the other fields may not."""
    index, _, rest = line.partition(",")
    fields = [field.strip() for field in rest.rsplit(",", len(_FIELDS) - 2)]
    if len(fields) != len(_FIELDS) - 1:
        return None
    name, total, free, capability, bus_id, driver = fields
    try:
        number = int(index)
        memory_total, memory_free = memory_of(int(float(total) * _MIB), int(float(free) * _MIB))
    except (ValueError, OverflowError):
        return None
    if not 0 <= number < _MAX_DEVICES or not memory_total:
        return None
    return Device(
        id=f"GPU-{number}",
        kind="cuda",
        name=clean_name(name, "NVIDIA GPU"),
        memory_total=memory_total,
        memory_free=memory_free,
        compute_capability=clean_name(capability, ""),
        driver=clean_name(driver, ""),
        bus_id=clean_name(bus_id, ""),
    )
