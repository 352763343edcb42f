"""What the machine is called and made of."""

import platform

from hive.probes.machine import Finding, Machine, clean_name

_PLATFORMS = {"darwin": "macos"}


def probe(machine: Machine) -> Finding:
    """`platform` is `linux` or `macos`; `arch` is `x86_64`, or `aarch64` on Linux and `arm64` on a Mac."""
    arch = {"amd64": "x86_64"}.get(machine.arch, machine.arch)
    if arch in {"aarch64", "arm64"}:
        arch = "arm64" if machine.system == "darwin" else "aarch64"
    return {
        "platform": _PLATFORMS.get(machine.system, machine.system),
        "arch": arch[:32],
        "hostname": clean_name(platform.node(), "unknown")[:255],
    }
