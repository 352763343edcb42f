"""Hashes the files of a model again and compares them with its manifest."""

import hashlib
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from hive.artifacts import ArtifactStatus
from hive.disk import in_words
from hive.model_entry import ModelEntry, ModelFile
from hive.operations.work import Narrated, Work
from hive.quantities import counted
from hive.stop import Stop
from shared.errors import JobFailed, NotFound
from shared.narration import Line, Progress, Said
from shared.timing import PROGRESS_INTERVAL

_CHUNK = 4 * 1024 * 1024
"""Bytes between two looks at the stop."""
_NAMED = 3


def model_verify(work: Work) -> Narrated:
    """Result: {model, size, files, verified_at}.

    Raises JobFailed(not_found, not_published, checksum_mismatch) and Stopped. A mismatch marks the model
    failed, so that no worker is started with it; a failed model that proves right is available again.
    """
    entry = _entry(work)
    yield Line(f"Hashes {work.name}: {counted(len(entry.files), 'file')}, {in_words(entry.size)}.")
    meter = _Meter(entry.size)
    wrong = []
    for file in entry.files:
        path = work.catalog.files_folder(entry.id) / file.path
        if not (yield from _is_right(path, file, meter, work.stop)):
            wrong.append(file.path)
            yield Line(f"{file.path} is not what was published.")
    if wrong:
        raise _mismatch(work, entry, wrong)
    now = datetime.now(UTC)
    work.catalog.update(entry.model_copy(update={"status": ArtifactStatus.available(), "verified_at": now}))
    yield meter.read()
    matching = f"{counted(len(entry.files), 'file')} {'matches' if len(entry.files) == 1 else 'match'}"
    yield Line(f"{work.name} is verified: {matching} the manifest.")
    return {"model": entry.id, "size": entry.size, "files": len(entry.files), "verified_at": now.isoformat()}


class _Meter:
    """Progress over all files; speaks at most every PROGRESS_INTERVAL seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = self._spoke = time.monotonic()

    def add(self, size: int) -> Progress | None:
        self._done += size
        now = time.monotonic()
        if now - self._spoke < PROGRESS_INTERVAL:
            return None
        self._spoke = now
        return self.read()

    def read(self) -> Progress:
        rate = max(self._done, 1) / max(time.monotonic() - self._start, 1e-6)
        return Progress(self._done, self._total, "bytes", "verify", rate, (self._total - self._done) / rate)


def _entry(work: Work) -> ModelEntry:
    try:
        entry = work.catalog.get(work.model)
    except NotFound as error:
        raise JobFailed(
            f"{work.model} is not on this hive, so there is nothing to verify.",
            code="not_found",
            hint="`rbee model ls` lists the models of every hive.",
        ) from error
    if not entry.files:
        raise JobFailed(
            f"The download of {work.model} never finished, so there is nothing to verify.",
            code="not_published",
            hint="Download it again; it goes on from the pieces on disk.",
        )
    return entry


def _is_right(path: Path, file: ModelFile, meter: _Meter, stop: Stop) -> Generator[Said, None, bool]:
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as source:
            while chunk := source.read(_CHUNK):
                stop.check()
                digest.update(chunk)
                if progress := meter.add(len(chunk)):
                    yield progress
    except OSError as error:
        yield Line(f"{file.path} cannot be read: {error.strerror}.")
        return False
    return digest.hexdigest() == file.sha256


def _mismatch(work: Work, entry: ModelEntry, wrong: list[str]) -> JobFailed:
    named = ", ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else "")
    error = f"{named} of {entry.id} {'is' if len(wrong) == 1 else 'are'} damaged on this hive."
    hint = "Download the model again; it takes the place of the damaged one."
    work.catalog.update(entry.model_copy(update={"status": ArtifactStatus.failed(f"{error} {hint}")}))
    return JobFailed(error, code="checksum_mismatch", hint=hint, details=[{"file": path} for path in wrong])
