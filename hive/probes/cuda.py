"""CUDA devices: by the driver's library, else by its command. Whatever goes wrong means no GPU."""

from hive.probes import nvidia_smi, nvml
from hive.probes.machine import Device, Finding, Machine


def probe(machine: Machine) -> Finding:
    return {"devices": devices(machine)}


def devices(machine: Machine) -> list[Device]:
    if machine.system == "darwin":
        return []
    found = nvml.devices(machine)
    return nvidia_smi.devices(machine) if found is None else found
