"""Metal devices of a Mac, asked from `system_profiler`; their memory is the machine's."""

import json
from typing import Any

import psutil

from hive.probes.machine import Device, Finding, Machine, clean_name, memory_of

JSON_QUERY = ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"]
TEXT_QUERY = ["/usr/sbin/system_profiler", "SPDisplaysDataType"]

_CHIPSET = "Chipset Model:"
_MAX_DEVICES = 16


def probe(machine: Machine) -> Finding:
    if machine.system != "darwin":
        return {}
    names = parse_json(machine.run(JSON_QUERY) or "") or parse_text(machine.run(TEXT_QUERY) or "")
    if not names and machine.arch == "arm64":
        names = ["Apple GPU"]
    memory = psutil.virtual_memory()
    total, free = memory_of(memory.total, memory.available)
    return {
        "devices": [
            Device(id=f"METAL-{index}", kind="metal", name=name, memory_total=total, memory_free=free)
            for index, name in enumerate(names[:_MAX_DEVICES])
        ]
    }


def parse_json(output: str) -> list[str]:
    """Names of the devices that support Metal; empty for anything that is not that command's JSON."""
    try:
        displays = json.loads(output)["SPDisplaysDataType"]
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(displays, list):
        return []
    return [_name(display) for display in displays if isinstance(display, dict) and _supports_metal(display)]


def parse_text(output: str) -> list[str]:
    lines = [line.strip() for line in output.splitlines()]
    return [
        clean_name(line.removeprefix(_CHIPSET), "Apple GPU") for line in lines if line.startswith(_CHIPSET)
    ]


def _name(display: dict[str, Any]) -> str:
    return clean_name(display.get("sppci_model") or display.get("_name") or "", "Apple GPU")


def _supports_metal(display: dict[str, Any]) -> bool:
    """macOS before 11 says `spdisplays_metal: spdisplays_supported`, later ones name the family."""
    said = (
        f"{display.get('spdisplays_mtlgpufamilysupport', '')} {display.get('spdisplays_metal', '')}".lower()
    )
    return (
        "spdisplays_metal" in said
        or "spdisplays_supported" in said
        or "vendor_apple" in str(display.get("spdisplays_vendor", "")).lower()
    )
