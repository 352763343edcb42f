"""Which addresses the downloader may speak to (no server-side request forgery, no DNS rebinding)."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urljoin, urlsplit

from hive.download.faults import Interrupted
from hive.download.proxies import proxy_for
from shared.errors import JobFailed

_PORTS = {"http": 80, "https": 443}
_SAFE = "%/:=&?~#+!$,;'@()*[]|"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = tuple[int, Any]
"""Address family and what `socket.connect` takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL: connections go to `addresses` and nowhere else. `path` holds the query and is ASCII."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[Address, ...]
    private: bool = False

    @property
    def place(self) -> tuple[str, str, int]:
        """What has to be equal for a connection to be used again, or for credentials to be sent again."""
        return self.scheme, self.host, self.port


class Origins:
    """`configured` entries, `host` or `host:port`, may be plain http and private. Thread-safe."""

    def __init__(self, configured: Iterable[str] = ()) -> None:
        self._configured = {_entry(text) for text in configured if text.strip()}

    def check(self, url: str, *, came_from: str | None) -> Target:
        """Resolves `url` once; raises JobFailed where it may not be asked, Interrupted without an address.

        `came_from` is the URL that redirected here, None for a plan's own URL.
        """
        scheme, host, port, path = _parts(url)
        configured = self._is_configured(host, port)
        if scheme == "http" and not configured:
            _forbid(f"{host} is addressed by plain http.", "Use https, or configure the host as trusted.")
        addresses = _resolve(host, port)
        private = any(_is_private(address) for _, address in addresses)
        if private:
            self._check_private(host, configured, came_from)
        return Target(url, scheme, host, port, path, tuple(addresses), private)

    def _check_private(self, host: str, configured: bool, came_from: str | None) -> None:
        if not configured:
            _forbid(
                f"{host} is on a private network.",
                "Name it among the configured hosts if this machine may fetch from it.",
            )
        if came_from is not None and not self._lives_privately(came_from):
            _forbid(
                f"{urlsplit(came_from).hostname} redirects to {host}, which is on a private network.",
                "Such redirects are never followed; ask for the private address itself.",
            )

    def _lives_privately(self, url: str) -> bool:
        _, host, port, _ = _parts(url)
        found = _resolve(host, port)
        return self._is_configured(host, port) and bool(found) and all(_is_private(at) for _, at in found)

    def _is_configured(self, host: str, port: int) -> bool:
        return (host, None) in self._configured or (host, port) in self._configured


def onward_url(url: str, location: str) -> str:
    """Where a `Location` header found at `url` leads."""
    try:
        return urljoin(url, location)
    except ValueError:
        _forbid("A redirect leads to an address that is not a valid URL.", "Check the model's source.")


def _entry(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is neither host nor host:port")
    return parts.hostname.rstrip("."), parts.port


def _parts(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _forbid("An address is not a valid URL.", "Check the model's source.")
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    if scheme not in _PORTS or not host:
        _forbid(
            f"An address of scheme {scheme[:16]!r} cannot be fetched.", "Only https addresses can be fetched."
        )
    path = quote(parts.path or "/", safe=_SAFE) + (
        f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    )
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError:
        _forbid("An address names no valid host.", "Check the model's source.")
    return scheme, ascii_host, port if port is not None else _PORTS[scheme], path


def _resolve(host: str, port: int) -> list[Address]:
    """All addresses of a name; none where only the configured proxy can resolve it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if proxy_for("https", host):
            return []
        raise Interrupted(f"the name {host} does not resolve") from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _is_private(address: tuple[Any, ...]) -> bool:
    """Whether it is not a public unicast address; looks through IPv4 in IPv6, 6to4, Teredo, NAT64."""
    ip = ipaddress.ip_address(str(address[0]).split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_multicast or not ip.is_global


def _forbid(message: str, hint: str) -> NoReturn:
    raise JobFailed(message, code="forbidden_address", hint=hint)
