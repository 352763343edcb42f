"""Secrets at rest: encrypted rows, the key in a file beside the database. They leave only inside a claim."""

import os
import time
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from sqlmodel import Session, select

from queen.database import Transaction
from queen.job_view import iso
from queen.rows import Secret
from shared.errors import InvalidRequest, RbeeError

NAMES = ("HF_TOKEN", "CIVITAI_API_TOKEN", "RBEE_LICENSE_KEY", "RBEE_TOKEN")
MAX_LENGTH = 4096


class Vault:
    """`defaults` are what the environment gave; a stored secret of the same name wins."""

    def __init__(self, key_file: Path, defaults: dict[str, str]) -> None:
        self._fernet = Fernet(_key(key_file))
        self._defaults = defaults

    def put(self, tx: Transaction, name: str, value: str) -> None:
        if name not in NAMES:
            raise InvalidRequest(
                "There is no such secret.",
                details=[{"field": "name", "message": "must be one of " + ", ".join(NAMES)}],
            )
        if not value or len(value) > MAX_LENGTH or not value.isprintable() or " " in value:
            raise InvalidRequest(
                "The value cannot be a token.",
                details=[{"field": "value", "message": "must be one printable word"}],
            )
        tx.session.merge(
            Secret(name=name, ciphertext=self._fernet.encrypt(value.encode()), updated_at=time.time())
        )

    def remove(self, tx: Transaction, name: str) -> bool:
        row = tx.session.get(Secret, name)
        if row is not None:
            tx.session.delete(row)
        return row is not None

    def for_model(self, session: Session, model: str) -> dict[str, str]:
        """What a vendor may need for `model`: its own token and no other."""
        scheme = model.split(":", 1)[0]
        name = {"civitai": "CIVITAI_API_TOKEN"}.get(scheme, "HF_TOKEN" if "/" in scheme else None)
        value = self._get(session, name) if name else None
        return {name: value} if name and value else {}

    def describe(self, session: Session) -> list[dict[str, object]]:
        """Which secrets are set, never their values."""
        stored = {row.name: row for row in session.exec(select(Secret))}
        return [
            {
                "name": name,
                "set": name in stored or name in self._defaults,
                "source": "stored" if name in stored else "environment" if name in self._defaults else None,
                "updated_at": iso(stored[name].updated_at) if name in stored else None,
            }
            for name in NAMES
        ]

    def _get(self, session: Session, name: str) -> str | None:
        row = session.get(Secret, name)
        if row is None:
            return self._defaults.get(name)
        try:
            return self._fernet.decrypt(row.ciphertext).decode()
        except InvalidToken as error:
            raise RbeeError(
                "A stored secret cannot be read with this key file.", hint=f"Set {name} again."
            ) from error


def _key(path: Path) -> bytes:
    return private_file(path, Fernet.generate_key)


def private_file(path: Path, make) -> bytes:  # type: ignore[no-untyped-def]
    """Reads `path`, or creates it once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(make())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()
