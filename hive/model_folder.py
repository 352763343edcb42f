"""A model's folder: its metadata file beside its files."""

import contextlib
import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from hive.artifacts import ArtifactStatus
from hive.durable import write_durably
from hive.model_entry import ModelEntry
from shared.ids import safe_id

METADATA = "metadata.json"
FILES = "files"

_MAX_METADATA = 16 * 1024 * 1024
"""Bytes. Ten thousand files need about 2 MB."""

log = logging.getLogger(__name__)


def write_entry(folder: Path, entry: ModelEntry) -> None:
    write_durably(folder / METADATA, entry.model_dump_json(indent=1, exclude_none=True).encode())


def read_entry(folder: Path) -> ModelEntry:
    """Raises ValueError with the reason as a clause."""
    try:
        path = folder / METADATA
        if path.stat().st_size > _MAX_METADATA:
            raise ValueError("metadata.json is too large")
        entry = ModelEntry.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"metadata.json is not an entry ({error.error_count()} faults)") from error
    except OSError as error:
        raise ValueError(f"metadata.json cannot be read ({error.strerror})") from error
    if not folder.name.startswith(".") and safe_id(entry.id) != folder.name:
        raise ValueError("metadata.json belongs to another model")
    return entry


def checked(entry: ModelEntry, files: Path) -> ModelEntry:
    """The entry, marked failed when a file of it is not there in its size; nothing is hashed here."""
    if entry.status.state != "available":
        return entry
    for file in entry.files:
        try:
            right = (files / file.path).stat().st_size == file.size
        except OSError:
            right = False
        if not right:
            error = f"{file.path} is missing or has another size; download the model again."
            return entry.model_copy(update={"status": ArtifactStatus.failed(error)})
    return entry


def keep_only(folder: Path, paths: Collection[str]) -> None:
    """Removes what an earlier plan left in `folder`, so that a model holds the files of its manifest only."""
    for path in folder.rglob("*"):
        if not path.is_dir() and path.relative_to(folder).as_posix() not in paths:
            path.unlink()


def bytes_on_disk(folder: Path) -> int:
    """Bytes on disk, so that sparse pieces count as what they take."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_dir())


def last_write(folder: Path) -> float:
    times = [folder.stat().st_mtime]
    with contextlib.suppress(FileNotFoundError):
        times += [path.lstat().st_mtime for path in folder.rglob("*")]
    return max(times)


def remove(path: Path) -> None:
    """What cannot be removed now is removed at the next start."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        log.warning("action=remove folder=%s problem=%s", path.name, error.strerror)
