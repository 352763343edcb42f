"""Models of one byte in a hive's catalog: to verify one is a job that does nothing."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from hive.artifacts import ArtifactStatus
from hive.model_entry import ModelEntry, ModelFile
from hive.model_folder import FILES, METADATA
from shared.ids import safe_id

_BODY = b"x"
_SHA256 = hashlib.sha256(_BODY).hexdigest()


def name(number: int) -> str:
    return f"bench/m{number:04d}"


def lay(hive_dir: Path, count: int) -> None:
    """Before the hive starts."""
    for number in range(count):
        entry = ModelEntry(
            id=name(number),
            name=f"m{number:04d}",
            path="m.gguf",
            size=len(_BODY),
            status=ArtifactStatus.available(),
            added_at=datetime.now(UTC),
            vendor="huggingface",
            checksum=_SHA256,
            files=[ModelFile(path="m.gguf", size=len(_BODY), sha256=_SHA256)],
        )
        folder = hive_dir / "models" / safe_id(entry.id)
        (folder / FILES).mkdir(parents=True)
        (folder / FILES / "m.gguf").write_bytes(_BODY)
        (folder / METADATA).write_text(entry.model_dump_json(exclude_none=True))
