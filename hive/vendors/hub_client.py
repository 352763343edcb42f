"""Questions to a model hub through its own client library, made stoppable, bounded and honest about failures.

The library keeps one HTTP client per process, waits without limits, and sleeps between silent retries.
So it gets a transport of ours: every question has time limits and a connection of its own that a stop closes
at once, it goes to no host but the configured one, and what is worth trying again comes back as `HubTrouble`
for the caller to narrate.
"""

import contextlib
import os
import socket
import threading
import urllib.request
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from hive.stop import Stop
from shared.errors import JobFailed

T = TypeVar("T")

_TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 10.0}
"""Seconds."""
_DEADLINE = 180.0
"""Seconds for one question with all its pages."""
_MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of one page; a thousand files take about 0.4 MB."""
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class HubTrouble(Exception):
    """The hub did not answer, or not now. `told` is a clause after its name; `retry_after` in seconds."""

    def __init__(self, told: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(told)
        self.told = told
        self.status = status
        self.retry_after = retry_after


def ask(question: Callable[[], T], endpoint: str, stop: Stop) -> T:
    """The answer of `question`, a call of the library; raises what that raises, HubTrouble and Stopped.

    It runs in a thread of its own: a name look-up cannot be interrupted, but it can be left behind.
    """
    load()
    stop.check()
    call = _Call(endpoint)
    answers: list[T] = []
    errors: list[Exception] = []
    done = threading.Event()

    def run() -> None:
        _current.call = call
        try:
            answers.append(question())
        except Exception as error:  # noqa: BLE001 - carried over to the asking thread, whatever it is
            errors.append(error)
        finally:
            done.set()

    def leave() -> None:
        call.abort()
        done.set()

    with stop.on_stop(leave):
        threading.Thread(target=run, name="hub-question", daemon=True).start()
        if not done.wait(_DEADLINE):
            call.abort()
            raise HubTrouble(f"gave no whole answer in {_DEADLINE:.0f} s")
    stop.check()
    if errors:
        raise errors[0]
    return answers[0]


@cache
def load() -> None:
    """Imports the library, which is heavy, once; nothing implicit: no token from a file, no telemetry."""
    os.environ |= {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    from huggingface_hub import set_client_factory

    set_client_factory(
        lambda: httpx2.Client(transport=_HubTransport(), follow_redirects=True, trust_env=False)
    )


class _Call:
    """One question: the host it may talk to, and the sockets it holds."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = httpx2.URL(endpoint)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._aborted = False

    def allows(self, url: httpx2.URL) -> bool:
        return (url.scheme, url.host, url.port) == (
            self.endpoint.scheme,
            self.endpoint.host,
            self.endpoint.port,
        )

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the HTTP library at every step; connections are what is watched here."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            with self._lock:
                self._sockets.append(info["return_value"].get_extra_info("socket"))
                if self._aborted:
                    self._close()

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            self._close()

    def _close(self) -> None:
        for connected in self._sockets:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    call: _Call | None = None


_current = _Current()


class _HubTransport(httpx2.BaseTransport):
    """Without a current question it is a plain transport, for other users of the library in this process."""

    def __init__(self) -> None:
        self._transports: dict[str | None, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _current.call
        transport = self._transport(_proxy_for(request.url))
        if call is None:
            return transport.handle_request(request)
        if not call.allows(request.url):
            raise JobFailed(
                f"{call.endpoint.host} redirects to {request.url.host}, which is not the configured hub.",
                code="hub_redirected",
                hint="Check HF_ENDPOINT.",
            )
        if request.url.path == "/api/agent-harnesses":
            return httpx2.Response(404, request=request)
        request.extensions = {**request.extensions, "trace": call.trace, "timeout": _TIMEOUTS}
        try:
            return _whole(transport.handle_request(request), request)
        except httpx2.TransportError as error:
            raise HubTrouble(_in_words(error)) from error

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def _transport(self, proxy: str | None) -> httpx2.HTTPTransport:
        if proxy not in self._transports:
            limits = httpx2.Limits(max_keepalive_connections=0)
            self._transports[proxy] = httpx2.HTTPTransport(proxy=proxy, limits=limits)
        return self._transports[proxy]


def _whole(response: httpx2.Response, request: httpx2.Request) -> httpx2.Response:
    """The answer with its body read, unless it is one to try again."""
    with contextlib.closing(response):
        if response.status_code in _PASSING:
            raise HubTrouble(
                f"answers {response.status_code}",
                status=response.status_code,
                retry_after=_retry_after(response.headers),
            )
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > _MAX_ANSWER:
                raise HubTrouble("sends an answer without end")
    return httpx2.Response(
        response.status_code, headers=response.headers, content=bytes(body), request=request
    )


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds; an HTTP date, which the hub does not send, counts as none."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None


def _in_words(error: httpx2.TransportError) -> str:
    match error:
        case httpx2.ConnectTimeout() | httpx2.ConnectError():
            return "cannot be reached"
        case httpx2.TimeoutException():
            return f"was silent for {_TIMEOUTS['read']:.0f} s"
        case _:
            return "broke the connection"


def _proxy_for(url: httpx2.URL) -> str | None:
    if urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def host_of(endpoint: str) -> str:
    return urlsplit(endpoint).netloc
