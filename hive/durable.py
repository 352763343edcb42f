"""Small files and renames that survive a power cut."""

import contextlib
import os
import secrets
from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of a file that is being written; a leftover of a crash has no meaning and may be removed."""


def write_durably(path: Path, content: bytes) -> None:
    """Replaces `path` at once or not at all: temporary file, fsync, rename, fsync. Raises OSError."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Makes the names in `folder` and below durable; the files' contents are their writers' duty."""
    for root, _, _ in os.walk(folder):
        sync_folder(Path(root))
