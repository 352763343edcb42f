"""The models of one hive, kept as folders.

::

    models/<safe id>/metadata.json     what is published; `available`, or `failed` when its files went bad
    models/<safe id>/files/…
    models/.old-…                      the replaced revision, between two renames
    models/.trash-…                    being deleted
    partial/<safe id>/metadata.json    `downloading`, `failed`, or `available`: verified, not yet published
    partial/<safe id>/files/…          pieces, and the downloader's own hidden state

A model that was never published is known by its partial folder. Publishing is one rename of that folder into
`models/`; whatever a crash leaves between two steps, `repair` completes or takes back at the next start.
The catalog object is the only writer.
"""

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hive.artifacts import ArtifactStatus
from hive.download import clean_state
from hive.durable import TEMPORARY, sync_folder, sync_tree
from hive.model_entry import ModelEntry
from hive.model_folder import (
    FILES,
    METADATA,
    bytes_on_disk,
    checked,
    keep_only,
    last_write,
    read_entry,
    remove,
    write_entry,
)
from shared.errors import Conflict, NotFound
from shared.ids import safe_id

INTERRUPTED = "The download was interrupted; start it again and it goes on from the pieces on disk."

_OLD = ".old-"
_TRASH = ".trash-"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """A folder that could not be read; `name` is the folder's, `reason` a clause for an operator."""

    name: str
    reason: str


class ModelCatalog:
    """Thread-safe. `version` grows whenever the inventory changes."""

    def __init__(self, root: Path) -> None:
        self.models = root / "models"
        self.partial = root / "partial"
        self.version = 0
        self.problems: list[Problem] = []
        self._lock = threading.RLock()
        self._published: dict[str, ModelEntry] = {}
        self._unpublished: dict[str, ModelEntry] = {}
        self._told: tuple[int, list[dict[str, Any]]] = (-1, [])
        """The inventory of a version."""
        for folder in (self.models, self.partial):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, artifact: ModelEntry) -> None:
        """Publishes what lies finished in the partial folder. Raises Conflict when the model is known."""
        if self.contains(artifact.id):
            raise Conflict(
                f"{artifact.id} is already in the catalog", hint="Delete it first, or download it again."
            )
        self.publish(artifact)

    def get(self, artifact_id: str) -> ModelEntry:
        entry = self.find(artifact_id)
        if entry is None:
            raise NotFound(f"{artifact_id} is not on this hive", hint="`rbee model ls` lists what is.")
        return entry

    def find(self, model: str) -> ModelEntry | None:
        """The published entry, unless it went bad and is on its way again; else the unpublished one."""
        with self._lock:
            published, unpublished = self._published.get(model), self._unpublished.get(model)
        coming = unpublished is not None and unpublished.status.state == "downloading"
        if published and (published.status.state == "available" or not coming):
            return published
        return unpublished

    def available(self, model: str) -> ModelEntry | None:
        """The entry, if an engine may be started with it."""
        entry = self.find(model)
        return entry if entry and entry.status.state == "available" else None

    def list(self) -> Sequence[ModelEntry]:
        with self._lock:
            known = sorted({*self._published, *self._unpublished})
        return [entry for model in known if (entry := self.find(model))]

    def contains(self, artifact_id: str) -> bool:
        return self.find(artifact_id) is not None

    def __len__(self) -> int:
        with self._lock:
            return len({*self._published, *self._unpublished})

    def inventory(self) -> Sequence[dict[str, Any]]:
        """What the queen is told: JSON values, no absolute path."""
        with self._lock:
            version, told = self._told
            if version != self.version:
                version, told = self._told = self.version, [entry.summary() for entry in self.list()]
            return list(told)

    def files_folder(self, model: str) -> Path:
        return self.models / safe_id(model) / FILES

    def partial_folder(self, model: str) -> Path:
        return self.partial / safe_id(model)

    def main_path(self, entry: ModelEntry) -> Path:
        """The file an engine is started with."""
        return self.files_folder(entry.id) / entry.path

    def begin(self, entry: ModelEntry) -> Path:
        """Notes a download; returns the folder that its files go to. Raises OSError."""
        files = self.partial_folder(entry.id) / FILES
        files.mkdir(parents=True, exist_ok=True)
        self._keep_unpublished(entry)
        return files

    def fail(self, model: str, error: str) -> None:
        """Notes why a download ended; a published model is not touched by that. The pieces stay."""
        with self._lock:
            entry = self._unpublished.get(model)
        if entry:
            self._keep_unpublished(entry.model_copy(update={"status": ArtifactStatus.failed(error)}))

    def publish(self, entry: ModelEntry) -> None:
        """Makes the files in the partial folder the model, in place of an older revision. Raises OSError."""
        source = self.partial_folder(entry.id)
        with self._lock:
            sync_tree(source)
            write_entry(source, entry)
            clean_state(source / FILES)
            keep_only(source / FILES, {file.path for file in entry.files})
            replaced = self._swap_in(source)
            self._published[entry.id] = entry
            self._unpublished.pop(entry.id, None)
            self.version += 1
        if replaced:
            remove(replaced)

    def update(self, entry: ModelEntry) -> None:
        """Replaces the metadata of a published model. Raises NotFound, OSError."""
        with self._lock:
            if entry.id not in self._published:
                raise NotFound(f"{entry.id} is not on this hive")
            write_entry(self.models / safe_id(entry.id), entry)
            self._published[entry.id] = entry
            self.version += 1

    def remove(self, artifact_id: str) -> int:
        """Deletes a model, its unfinished download, or both; returns bytes freed. Raises NotFound, OSError.

        Each folder is renamed before anything in it goes, so that no half of a model ever looks whole.
        """
        trash: list[Path] = []
        with self._lock:
            for parent in (self.models, self.partial):
                if (folder := parent / safe_id(artifact_id)).is_dir():
                    trash.append(self._throw_away(folder))
            known = [kept.pop(artifact_id, None) for kept in (self._published, self._unpublished)]
            if not trash and not any(known):
                raise NotFound(f"{artifact_id} is not on this hive", hint="`rbee model ls` lists what is.")
            self.version += 1
        freed = sum(bytes_on_disk(folder) for folder in trash)
        for folder in trash:
            remove(folder)
        return freed

    def repair(self) -> Sequence[Problem]:
        """Completes or takes back what a crash left half done, then reads all. Returns what cannot be read.

        A `downloading` entry has no running job at start: it becomes `failed`, which keeps it visible,
        deletable and resumable.
        """
        with self._lock:
            self._restore_replaced()
            for leftover in [*self.models.glob(f"{_TRASH}*"), *self.models.glob(f"*/{TEMPORARY}*")]:
                remove(leftover)
            self._finish_publishing()
            self.refresh()
            for entry in list(self._unpublished.values()):
                if entry.status.state == "downloading":
                    self.fail(entry.id, INTERRUPTED)
            return list(self.problems)

    def refresh(self) -> None:
        """Reads the folders again, for changes made by hand. About a millisecond for ten models."""
        with self._lock:
            self.problems = []
            found = (self._read_all(self.models), self._read_all(self.partial))
            found[0].update(
                {model: checked(entry, self.files_folder(model)) for model, entry in found[0].items()}
            )
            if found != (self._published, self._unpublished):
                self._published, self._unpublished = found
                self.version += 1

    def expire_partials(self, days: float) -> Sequence[str]:
        """Deletes downloads that are not running and were not written to for `days`; returns folder names."""
        oldest = time.time() - days * 86_400
        expired = []
        with self._lock:
            running = {safe_id(e.id) for e in self._unpublished.values() if e.status.state == "downloading"}
            for folder in [
                path for path in self.partial.iterdir() if path.is_dir() and path.name not in running
            ]:
                if last_write(folder) < oldest:
                    expired.append(folder.name)
                    trash = self._throw_away(folder)
                    remove(trash)
            gone = [model for model in self._unpublished if safe_id(model) in expired]
            for model in gone:
                del self._unpublished[model]
            self.version += bool(gone)
        return expired

    def _keep_unpublished(self, entry: ModelEntry) -> None:
        with self._lock:
            write_entry(self.partial_folder(entry.id), entry)
            self._unpublished[entry.id] = entry
            self.version += 1

    def _swap_in(self, source: Path) -> Path | None:
        """Returns the folder of what was replaced, for the caller to remove."""
        target = self.models / source.name
        aside = self.models / f"{_OLD}{secrets.token_hex(8)}"
        replaces = target.is_dir()
        if replaces:
            target.rename(aside)
        source.rename(target)
        sync_folder(self.models)
        sync_folder(self.partial)
        return aside if replaces else None

    def _throw_away(self, folder: Path) -> Path:
        trash = self.models / f"{_TRASH}{secrets.token_hex(8)}"
        folder.rename(trash)
        sync_folder(folder.parent)
        return trash

    def _restore_replaced(self) -> None:
        """A revision that was put aside goes back, unless the new one has taken its place."""
        for aside in self.models.glob(f"{_OLD}*"):
            try:
                target = self.models / safe_id(read_entry(aside).id)
            except ValueError as problem:
                log.warning("action=repair folder=%s problem=%s", aside.name, problem)
                continue
            if target.exists():
                remove(aside)
            else:
                aside.rename(target)

    def _finish_publishing(self) -> None:
        for model, entry in self._read_all(self.partial).items():
            if entry.status.state == "available":
                clean_state(self.partial_folder(model) / FILES)
                keep_only(self.partial_folder(model) / FILES, {file.path for file in entry.files})
                if replaced := self._swap_in(self.partial_folder(model)):
                    remove(replaced)

    def _read_all(self, parent: Path) -> dict[str, ModelEntry]:
        entries: dict[str, ModelEntry] = {}
        for folder in sorted(
            path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
        ):
            if parent == self.partial and not (folder / METADATA).exists():
                continue
            try:
                entry = read_entry(folder)
            except ValueError as problem:
                self.problems.append(Problem(folder.name, str(problem)))
                log.warning("action=read_catalog folder=%s problem=%s", folder.name, problem)
                continue
            entries[entry.id] = entry
        return entries
