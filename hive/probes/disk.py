"""The file system that models go to, in bytes."""

import psutil

from hive.probes.machine import Finding, Machine


def probe(machine: Machine) -> Finding:
    """Of the nearest folder that exists, so that a hive can look before it has made its own."""
    for folder in (machine.data_dir, *machine.data_dir.absolute().parents):
        try:
            usage = psutil.disk_usage(str(folder))
        except OSError:
            continue
        return {"disk_total": usage.total, "disk_free": usage.free}
    return {"disk_total": 0, "disk_free": 0}
