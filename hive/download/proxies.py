"""The proxy that the environment names for a host: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, as curl reads them."""

import base64
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization` is the value of `Proxy-Authorization`, None without a login."""

    host: str
    port: int
    authorization: str | None = None


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """None where the host is spoken to directly. Only plain http proxies are known; SOCKS is not."""
    url = urllib.request.getproxies().get(scheme)
    if not url or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        return None
    login = None
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return Proxy(parts.hostname, parts.port or 3128, login)
