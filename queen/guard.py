"""The door of the web process: host and origin, who asks, what they may, how often. A view without a scope is for admins."""

import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request

from queen.principals import Principal, Scope
from queen.services import services
from shared.errors import Forbidden, InvalidRequest, TooMany, Unauthorized

View = TypeVar("View", bound=Callable[..., Any])

OPEN = "open"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY = 1024 * 1024
MAX_HIVE_BODY = 16 * 1024 * 1024
RATE, BURST = 300.0, 2000.0
"""Requests a second of one principal, and how many may come at once."""
STRANGER_RATE, STRANGER_BURST = 10.0, 60.0
"""The same of one address whose requests are refused."""
MAX_BUCKETS = 50_000
_LIMITS = "rbee.limits"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def needs(scope: Scope | str) -> Callable[[View], View]:
    """Who may call a view: a scope, or `OPEN` for everybody."""

    def mark(view: View) -> View:
        view.rbee_scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def cookie_name() -> str:
    """Of the session: with the port, because browsers do not keep the cookies of two ports apart."""
    return f"rbee_session_{services().settings.port}"


def principal() -> Principal:
    """Who asks; only inside a view that is not open."""
    found: Principal = g.principal
    return found


def is_hive() -> bool:
    """Whether a hive asks; also inside an open view."""
    asking: Principal | None = g.get("principal")
    return asking is not None and asking.hive_id is not None


def install(app: Flask) -> None:
    app.extensions[_LIMITS] = _Limits()
    app.before_request(_check)
    app.after_request(_count_refusals)
    app.after_request(_harden)


def _check() -> None:
    _check_host()
    _check_origin()
    _check_text()
    scope = getattr(current_app.view_functions.get(request.endpoint or ""), "rbee_scope", Scope.ADMIN)
    if request.endpoint is None:
        return
    if scope == OPEN:
        if request.method not in SAFE:
            _limits().check(_stranger(), STRANGER_RATE, STRANGER_BURST)
        return
    try:
        g.principal = _principal()
    except Unauthorized:
        _limits().check(_stranger(), STRANGER_RATE, STRANGER_BURST)
        raise
    if g.principal.hive_id is None:
        _limits().check(g.principal.name, RATE, BURST)
        _limits().spend(g.principal.name, RATE, BURST)
    else:
        request.max_content_length = MAX_HIVE_BODY
    if not g.principal.may(scope):
        raise Forbidden("This token is not allowed to do that.", hint=f"It needs the scope {scope}.")


def _principal() -> Principal:
    principals = services().principals
    authorization = request.authorization
    if authorization is not None:
        if authorization.type != "bearer" or not authorization.token:
            raise Unauthorized("Use a bearer token.", hint="Authorization: Bearer …")
        return principals.of_bearer(authorization.token)
    session = request.cookies.get(cookie_name())
    if not session:
        raise Unauthorized(
            "You are not logged in.", hint="Send Authorization: Bearer …, or open a link made by: rbee login"
        )
    if request.method not in SAFE and not request.headers.get("Origin"):
        raise Forbidden("A browser's request must carry its Origin.", code="origin")
    return principals.of_session(session)


def _check_host() -> None:
    """Against DNS rebinding: names we go by, and addresses, which no foreign name can pretend to be."""
    host = _hostname(f"//{request.host}")
    if host in current_app.config["RBEE_HOSTS"] or _is_address(host):
        return
    raise Forbidden(
        "This host name is not one of the queen's.",
        code="host",
        hint="Set RBEE_QUEEN_URL to the URL you open.",
    )


def _check_origin() -> None:
    """Against foreign pages: whoever says where it comes from must come from here."""
    origin = request.headers.get("Origin")
    if request.method in SAFE or origin is None:
        return
    if origin not in {f"http://{request.host}", f"https://{request.host}"}:
        raise Forbidden("The request comes from another site.", code="origin")


def _check_text() -> None:
    """NUL is in no id and no text of ours, and databases choke on it."""
    if "\x00" in request.path or any(
        "\x00" in value for values in request.args.lists() for value in values[1]
    ):
        raise InvalidRequest("The address holds a character that nothing here is named with.")


def _stranger() -> str:
    return f"stranger:{request.remote_addr}"


def _count_refusals(response: Response) -> Response:
    """Whoever is refused spends; so a guessed token costs more than it brings, and nobody with a good one is slowed."""
    if response.status_code == Unauthorized.status:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
        _limits().spend(_stranger(), STRANGER_RATE, STRANGER_BURST)
    return response


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CSP)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    return response


class _Limits:
    """Token buckets by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, name: str, rate: float, burst: float) -> None:
        """Raises TooMany when the bucket is empty."""
        with self._lock:
            level = self._level(name, rate, burst, time.monotonic())
        if level < 1:
            raise TooMany(
                "Too many requests.",
                retry_after=max(1, round(burst / rate / 4)),
                hint="Slow down and try again.",
            )

    def spend(self, name: str, rate: float, burst: float) -> None:
        """Takes one, where one is left."""
        now = time.monotonic()
        with self._lock:
            level = self._level(name, rate, burst, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.clear()
            self._buckets[name] = (max(level - 1, 0.0), now)

    def _level(self, name: str, rate: float, burst: float, now: float) -> float:
        level, at = self._buckets.get(name, (burst, now))
        return min(burst, level + (now - at) * rate)


def _limits() -> _Limits:
    return cast(_Limits, current_app.extensions[_LIMITS])
