"""One life of a hive's process: it alone uses this identity, and it knows which life came before."""

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.errors import SettingsError
from shared.ids import new_boot_id


@dataclass(frozen=True)
class Boot:
    id: str
    previous_id: str | None
    lock: IO[str]
    """Held for as long as the process lives."""


def boot(folder: Path) -> Boot:
    """Raises SettingsError when another process of this machine is this hive."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (folder / "hive.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SettingsError("this hive runs already on this data folder") from error
    path = folder / "boot"
    previous = path.read_text().strip() if path.exists() else None
    current = new_boot_id()
    path.write_text(current)
    return Boot(current, previous or None, lock)
