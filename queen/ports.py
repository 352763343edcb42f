"""TCP ports of this machine: whether one can be had, whether somebody listens."""

import socket
from collections.abc import Callable


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def port_open(host: str, port: int) -> Callable[[], bool]:
    """A ready check: somebody listens there. Ask `is_free` before the start, lest it be a stranger."""

    def check() -> bool:
        try:
            socket.create_connection((host, port), timeout=0.5).close()
        except OSError:
            return False
        return True

    return check
