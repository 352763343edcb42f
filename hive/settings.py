"""What a hive can be told; `shared/settings.py` says where the values come from."""

import os
import re
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from shared.routing import CAPABILITIES
from shared.settings import CommaList, Folder, Settings

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?(?:/s|ps)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class PortRange(NamedTuple):
    """Both ends belong to it."""

    first: int
    last: int


def _known_capabilities(names: tuple[str, ...]) -> tuple[str, ...]:
    if not set(names) <= set(CAPABILITIES):
        raise ValueError(f"must be of {', '.join(CAPABILITIES)}")
    return tuple(name for name in CAPABILITIES if name in names)


def _port_range(value: object) -> object:
    if not isinstance(value, str):
        return value
    first, _, last = value.partition("-")
    if not (first.strip().isdecimal() and (last or first).strip().isdecimal()):
        raise ValueError("must be two ports, such as 8080-8179")
    return PortRange(int(first), int(last or first))


def _possible_ports(ports: PortRange) -> PortRange:
    if not 1 <= ports.first <= ports.last <= 65535:
        raise ValueError("must be two ports between 1 and 65535, the lower first")
    return ports


def _path_list(value: object) -> object:
    return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def _bytes_a_second(value: object) -> object:
    """`30MB` is 30,000,000 and `30MiB` 31,457,280; a bare number is bytes."""
    if not isinstance(value, str):
        return value
    match = _RATE.fullmatch(value.strip())
    if not match:
        raise ValueError("must be bytes a second, such as 30MB")
    number, letter, binary = match.groups(default="")
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[letter.lower()])


class HiveSettings(Settings):
    queen_url: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+/?$")
    hive_name: str | None = Field(default=None, min_length=1, max_length=63)
    capabilities: Annotated[CommaList, AfterValidator(_known_capabilities)] | None = None
    """None: what is detected."""
    worker_ports: Annotated[
        PortRange, NoDecode, BeforeValidator(_port_range), AfterValidator(_possible_ports)
    ] = PortRange(8080, 8179)
    local_roots: Annotated[tuple[Folder, ...], NoDecode, BeforeValidator(_path_list)] = ()
    bandwidth: Annotated[int, BeforeValidator(_bytes_a_second), Field(ge=0)] = 0
    """Bytes a second; 0 is unlimited."""
    download_connections: int = Field(default=8, ge=1, le=64)
    stall_seconds: float = Field(default=60, gt=0)
    partial_days: float = Field(default=7, ge=0)

    @property
    def hive_dir(self) -> Path:
        return self.data_dir / "hive"
