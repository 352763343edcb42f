"""How programs on this machine reach its queen: written by `rbee up`, whose flags other commands do not see.

<data folder>/queen/address.json   {"url": …, "certificate": SHA-256 in hex or null}
"""

import json
from pathlib import Path
from typing import NamedTuple

FILE = "address.json"


class Address(NamedTuple):
    url: str
    certificate: str | None


def store(queen_dir: Path, address: Address) -> None:
    fresh = queen_dir / f".{FILE}.new"
    fresh.write_text(json.dumps(address._asdict()))
    fresh.replace(queen_dir / FILE)


def load(queen_dir: Path) -> Address | None:
    """None when no `rbee up` wrote one, or it cannot be read."""
    try:
        return Address(**json.loads((queen_dir / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def local_url(host: str, port: int, *, tls: bool) -> str:
    """How a program beside the queen reaches what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if tls else 'http'}://{host}:{port}"
