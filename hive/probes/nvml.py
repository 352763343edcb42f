"""NVIDIA devices, asked from the driver's own library."""

from typing import Any, NamedTuple

import psutil

from hive.probes.machine import Device, Machine, clean_name, memory_of, within

_SECONDS = 10.0
"""A driver may take some to wake up."""


def devices(machine: Machine) -> list[Device] | None:
    """None when the library cannot be asked; an empty list when it knows of no device."""
    if machine.nvml is None or machine.wedged.is_set():
        return None
    answer = within(_SECONDS, lambda: _Answer(_ask(machine.nvml)))
    if answer is None:
        machine.wedged.set()
        return None
    return answer.devices


class _Answer(NamedTuple):
    devices: list[Device] | None


def _ask(nvml: Any) -> list[Device] | None:
    """The library stays open: without it an idle driver falls asleep and takes a second to wake up."""
    try:
        nvml.nvmlInit()
        driver = clean_name(nvml.nvmlSystemGetDriverVersion(), "")
        found = [_device(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount())]
    except (nvml.NVMLError, OSError, UnicodeDecodeError):
        return None
    return [device for device in found if device]


def _device(nvml: Any, index: int, driver: str) -> Device | None:
    """None for a device that the driver has lost."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        total, free = _memory(nvml, handle)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Device(
            id=f"GPU-{index}",
            kind="cuda",
            name=clean_name(nvml.nvmlDeviceGetName(handle), "NVIDIA GPU"),
            memory_total=total,
            memory_free=free,
            compute_capability=f"{major}.{minor}",
            driver=driver,
            bus_id=clean_name(nvml.nvmlDeviceGetPciInfo(handle).busId, ""),
        )
    except (nvml.NVMLError, OSError, UnicodeDecodeError):
        return None


def _memory(nvml: Any, handle: Any) -> tuple[int, int]:
    """Devices that share the machine's memory (GB10, Jetson) state none of their own."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError_NotSupported:
        shared = psutil.virtual_memory()
        return memory_of(shared.total, shared.available)
    return memory_of(memory.total, memory.free)
