"""The login that `rbee login URL` stores: one file in the user's configuration folder, readable by its owner only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from shared.errors import SettingsError


@dataclass(frozen=True)
class Login:
    """`certificate` is the SHA-256 of the queen's TLS certificate, in hex; None where the system's authorities decide."""

    url: str
    key: str
    certificate: str | None = None


def path() -> Path:
    return Path(platformdirs.user_config_dir("rbee")) / "login.json"


def load() -> Login | None:
    """Raises SettingsError when the file is damaged."""
    try:
        return Login(**json.loads(path().read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"the stored login {path()} cannot be read", hint="Forget it with rbee logout, then log in again."
        ) from error


def store(login: Login) -> Path:
    """Atomically, 0600."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(login), file, indent=1)
    temporary.replace(target)
    return target


def forget() -> bool:
    """Whether there was one."""
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True
