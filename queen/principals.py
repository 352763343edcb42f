"""Who asks: the admin token, an API key, a browser session, or a hive. Tokens are kept as SHA-256 and compared as such."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import col, select, update

from queen.database import Database, Transaction
from queen.rows import Hive, Key, LoginToken
from queen.rows import Session as BrowserSession
from shared.errors import Unauthorized

SESSION_LIFE = 30 * 24 * 3600
LOGIN_LIFE = 24 * 3600
"""Seconds that an unused one-time login URL is good for."""
CACHED = 2.0
"""Seconds a token's owner is remembered; a revoked token works at most this much longer."""


class Scope(StrEnum):
    ADMIN = "admin"
    OPERATE = "operate"
    INFERENCE = "inference"
    HIVE = "hive"


@dataclass(frozen=True)
class Principal:
    """`name` is stable and unique, such as `admin`, `key:…` or `hive:…`."""

    name: str
    scopes: frozenset[Scope]
    hive_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """An admin may do everything but be a hive."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope != Scope.HIVE)


ADMIN = Principal("admin", frozenset({Scope.ADMIN}))


def new_token(kind: str) -> str:
    """A random token that says what it is for, such as `rbee_hive_…`; 256 bits."""
    return f"rbee_{kind}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def fingerprint(token: str) -> str:
    return token_hash(token)[:8]


class Principals:
    """Finds the owner of a token."""

    def __init__(self, database: Database, admin_token: str) -> None:
        self._database = database
        self._admin_hash = token_hash(admin_token)
        self._cache: dict[str, tuple[float, Principal]] = {}

    def of_bearer(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return self._cached(token, self._find_bearer)

    def of_session(self, token: str) -> Principal:
        """Raises Unauthorized."""
        return self._cached(token, self._find_session)

    def forget(self) -> None:
        """After a token was revoked."""
        self._cache.clear()

    def log_in(self, login_token: str) -> str:
        """Redeems a one-time login token, or the admin token itself, for a session token. Raises Unauthorized."""
        now = time.time()
        with self._database.write() as tx:
            if not hmac.compare_digest(token_hash(login_token), self._admin_hash):
                used = tx.session.execute(
                    update(LoginToken)
                    .where(
                        col(LoginToken.token_hash) == token_hash(login_token),
                        col(LoginToken.used_at).is_(None),
                        col(LoginToken.expires_at) > now,
                    )
                    .values(used_at=now)
                )
                if used.rowcount != 1:  # type: ignore[attr-defined]
                    raise Unauthorized(
                        "This login link was used or is too old.",
                        code="login_link",
                        hint="Make a new one: rbee login",
                    )
            return _new_session(tx, now)

    def log_out(self, session_token: str) -> None:
        with self._database.write() as tx:
            row = tx.session.get(BrowserSession, token_hash(session_token))
            if row is not None:
                tx.session.delete(row)
        self.forget()

    def _cached(self, token: str, find) -> Principal:  # type: ignore[no-untyped-def]
        key = token_hash(token)
        now = time.monotonic()
        if (known := self._cache.get(key)) and known[0] > now:
            return known[1]
        principal: Principal = find(key)
        if len(self._cache) > 10_000:
            self._cache.clear()
        self._cache[key] = (now + CACHED, principal)
        return principal

    def _find_bearer(self, key: str) -> Principal:
        if hmac.compare_digest(key, self._admin_hash):
            return ADMIN
        with self._database.read() as session:
            hive = session.exec(
                select(Hive).where(Hive.token_hash == key, col(Hive.removed_at).is_(None))
            ).first()
            if hive is not None:
                return Principal(f"hive:{hive.id}", frozenset({Scope.HIVE}), hive.id)
            row = session.exec(select(Key).where(Key.token_hash == key)).first()
            if row is not None:
                return Principal(f"key:{row.id}", frozenset(Scope(scope) for scope in row.scopes.split()))
        raise Unauthorized(
            "The token is not known.", hint="Print a good one on the queen: rbee login --token"
        )

    def _find_session(self, key: str) -> Principal:
        with self._database.read() as session:
            row = session.get(BrowserSession, key)
            if row is None or row.expires_at < time.time():
                raise Unauthorized("You are not logged in.", hint="Open a new login link: rbee login")
        return ADMIN


def new_login_token(tx: Transaction) -> str:
    token = new_token("login")
    tx.session.add(LoginToken(token_hash=token_hash(token), expires_at=time.time() + LOGIN_LIFE))
    return token


def _new_session(tx: Transaction, now: float) -> str:
    token = new_token("session")
    tx.session.add(
        BrowserSession(token_hash=token_hash(token), created_at=now, expires_at=now + SESSION_LIFE)
    )
    return token
