"""One `rbee up` a data folder: an exclusive lock that the system takes back however the holder ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from shared.errors import Conflict


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Makes the folder if need be. Raises Conflict while another process holds it."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "rbee.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(file.name) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _taken(name: str) -> Conflict:
    holder = Path(name).read_text().strip() or "unknown"
    return Conflict(
        f"rbee up already runs on this data folder (process {holder})",
        hint="End it, or choose another folder with RBEE_DATA_DIR and other ports.",
    )
