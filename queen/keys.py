"""API keys: random, kept as SHA-256, known by their fingerprint."""

import time
from collections.abc import Iterable
from typing import Any

from sqlmodel import Session, select

from queen.database import Transaction
from queen.job_view import iso
from queen.principals import fingerprint, new_token, token_hash
from queen.rows import Key
from shared.errors import NotFound


def create(tx: Transaction, name: str, scopes: Iterable[str]) -> tuple[Key, str]:
    """The row and the key's text, which is told this once."""
    token = new_token("key")
    row = Key(
        id=f"key-{token_hash(token)[:12]}",
        name=name,
        token_hash=token_hash(token),
        fingerprint=fingerprint(token),
        scopes=" ".join(sorted(set(scopes))),
        created_at=time.time(),
    )
    tx.session.add(row)
    return row, token


def every(session: Session) -> list[Key]:
    return list(session.exec(select(Key).order_by(Key.name)))


def revoke(tx: Transaction, key_id: str) -> None:
    """Raises NotFound. Call `Principals.forget` after COMMIT."""
    row = tx.session.get(Key, key_id)
    if row is None:
        raise NotFound("There is no such key.")
    tx.session.delete(row)


def key_view(row: Key) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "fingerprint": row.fingerprint,
        "scopes": row.scopes.split(),
        "created_at": iso(row.created_at),
    }
