"""The door of the web process: host and origin, who asks, what they may, how often. A view without a scope is for admins."""

import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request

from queen.principals import Principal, Scope
from queen.services import services
from shared.errors import Forbidden, TooMany, Unauthorized

View = TypeVar("View", bound=Callable[..., Any])

COOKIE = "rbee_session"
OPEN = "open"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY = 1024 * 1024
MAX_HIVE_BODY = 16 * 1024 * 1024
RATE, BURST = 300.0, 2000.0
"""Requests a second of one principal, and how many may come at once."""
STRANGER_RATE, STRANGER_BURST = 10.0, 60.0
"""The same of one address whose requests are refused."""

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


def principal() -> Principal:
    """Who asks; only inside a view that is not open."""
    found: Principal = g.principal
    return found


def install(app: Flask) -> None:
    app.before_request(_check)
    app.after_request(_harden)


def _check() -> None:
    _check_host()
    _check_origin()
    scope = getattr(current_app.view_functions.get(request.endpoint or ""), "rbee_scope", Scope.ADMIN)
    if scope == OPEN or request.endpoint is None:
        return
    try:
        g.principal = _principal()
    except Unauthorized:
        _limits.spend(f"stranger:{request.remote_addr}", STRANGER_RATE, STRANGER_BURST)
        raise
    if g.principal.hive_id is None:
        _limits.spend(g.principal.name, RATE, BURST)
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
    session = request.cookies.get(COOKIE)
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
    if origin == "null" or urlsplit(origin).netloc != request.host:
        raise Forbidden("The request comes from another site.", code="origin")


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

    def spend(self, name: str, rate: float, burst: float) -> None:
        """Takes one; raises TooMany when the bucket is empty."""
        now = time.monotonic()
        with self._lock:
            level, at = self._buckets.get(name, (burst, now))
            level = min(burst, level + (now - at) * rate)
            if len(self._buckets) > 50_000:
                self._buckets.clear()
            self._buckets[name] = (max(level - 1, 0.0), now)
        if level < 1:
            raise TooMany(
                "Too many requests.",
                retry_after=max(1, round(burst / rate / 4)),
                hint="Slow down and try again.",
            )


_limits = _Limits()
