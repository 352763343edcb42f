"""The hives that are machines, this one first."""

import socket
from typing import Any


def machines_of(fleet: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From hive views; the queen's own worker is no machine. `is_here` marks the machine that the queen runs on."""
    here = socket.gethostname().lower()
    machines = [
        {**hive, "is_here": (hive["hostname"] or "").lower() == here}
        for hive in fleet
        if hive["kind"] == "hive"
    ]
    return sorted(machines, key=lambda hive: not hive["is_here"])
