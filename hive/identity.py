"""Who this hive is: what the queen told it when it joined. One file, readable by its owner only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.errors import SettingsError

FILE = "identity.json"


@dataclass(frozen=True)
class Identity:
    """`certificate` is the SHA-256 of the queen's TLS certificate, in hex; None where the system's authorities decide."""

    id: str
    name: str
    kind: str
    token: str
    queen_url: str
    broker_url: str
    certificate: str | None = None


def load(folder: Path) -> Identity:
    """Raises SettingsError when this hive has not joined."""
    try:
        return Identity(**json.loads((folder / FILE).read_text()))
    except FileNotFoundError as error:
        raise SettingsError(
            "this hive belongs to no queen yet",
            hint="Make a token on the queen: rbee hive token; then here: rbee hive join URL TOKEN",
        ) from error
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"the hive's {FILE} cannot be read", hint="Join again: rbee hive join URL TOKEN"
        ) from error


def store(folder: Path, identity: Identity) -> None:
    """Atomically, 0600."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = folder / f".{FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(identity), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)
