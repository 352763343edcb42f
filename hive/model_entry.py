"""One model of a hive's catalog: what it is, which files it is made of, how it stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hive.artifacts import ArtifactStatus
from shared.plan import Plan, RelativePath


class Llm(BaseModel):
    kind: Literal["llm"] = "llm"
    architecture: str
    parameter_count: str | None = None
    """As people say it: `7B`, `13B`."""
    context_length: int | None = None
    """Tokens."""


class StableDiffusion(BaseModel):
    kind: Literal["stable_diffusion"] = "stable_diffusion"
    version: str


ModelType = Annotated[Llm | StableDiffusion, Field(discriminator="kind")]


class ModelFile(BaseModel):
    """One line of the manifest: a verified file, its path relative to the model's files."""

    path: RelativePath
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ModelEntry(BaseModel):
    """Unknown fields of a newer version are ignored, so that a step back of rbee loses no model."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    id: str
    name: str
    path: str = ""
    """The main file, relative; a shard set's first shard."""
    size: int = 0
    """Bytes of all files; of the plan while downloading, 0 when even that is unknown."""
    status: ArtifactStatus
    added_at: datetime
    model_type: ModelType | None = None
    vendor: str
    quantization: str | None = None
    checksum: str | None = None
    """SHA-256 of the main file."""
    metadata: dict[str, str] = {}
    files: list[ModelFile] = []
    revision: str | None = None
    license: str | None = None
    verified_at: datetime | None = None
    """When all files were last hashed and found right."""
    last_used: datetime | None = None

    def summary(self) -> dict[str, Any]:
        """What the queen is told: JSON values, no absolute path."""
        body = self.model_dump(mode="json", exclude={"status", "path", "metadata"}, exclude_none=True)
        body |= {"kind": "model", "status": self.status.state}
        if self.status.error:
            body["error"] = self.status.error
        return body


def downloading_entry(plan: Plan, at: datetime) -> ModelEntry:
    return ModelEntry(
        id=plan.model,
        name=display_name(plan.model),
        size=plan.size or 0,
        status=ArtifactStatus.downloading(),
        added_at=at,
        vendor=plan.vendor,
        quantization=plan.quantization,
        revision=plan.revision,
        license=plan.license,
    )


def available_entry(
    plan: Plan, files: Sequence[ModelFile], at: datetime, model_type: ModelType | None = None
) -> ModelEntry:
    """The entry of a model whose files were just fetched and verified."""
    main = main_file(files)
    return downloading_entry(plan, at).model_copy(
        update={
            "status": ArtifactStatus.available(),
            "path": main.path,
            "size": sum(file.size for file in files),
            "checksum": main.sha256,
            "files": list(files),
            "verified_at": at,
            "model_type": model_type,
        }
    )


def main_file(files: Sequence[ModelFile]) -> ModelFile:
    """The file an engine is started with: no projector, and of shards the first."""
    weights = [file for file in files if "mmproj" not in file.path.rsplit("/", 1)[-1].lower()]
    models = [file for file in weights if file.path.lower().endswith((".gguf", ".safetensors"))]
    return min(models or weights or files, key=lambda file: file.path)


def display_name(model: str) -> str:
    """`org/Name-GGUF:file` → `Name-GGUF`; of a URL the last part of its path."""
    if "://" in model:
        return model.split("?", 1)[0].split("#", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    return model.split(":", 1)[0].rsplit("/", 1)[-1]
