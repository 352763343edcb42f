"""Every verb of the product, in one table. An operation is a row here and a domain function in `hive/operations/`."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.ids import canonical_model_id, model_id_problem


class Lane(StrEnum):
    """Work of one lane never waits behind work of another."""

    DOWNLOAD = "download"
    BUILD = "build"
    SPAWN = "spawn"
    OTHER = "other"


LANE_WIDTHS: dict[Lane, int] = {Lane.DOWNLOAD: 4, Lane.BUILD: 1, Lane.SPAWN: 2, Lane.OTHER: 4}
"""How many jobs of a lane run at once on one hive."""


def _model_id(value: str) -> str:
    if problem := model_id_problem(value):
        raise ValueError(problem)
    return canonical_model_id(value)


ModelId = Annotated[str, AfterValidator(_model_id)]


def _revision(value: str) -> str:
    if ".." in value or value.endswith(("/", ".lock")) or "//" in value:
        raise ValueError("is not a branch, tag or commit")
    return value


Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,199}$"), AfterValidator(_revision)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ModelDownload(Params):
    model: ModelId
    revision: Revision | None = None
    """A branch, tag or commit of the vendor; its default branch when absent."""
    sha256: Sha256 | None = None
    """What the one file of the model must hash to; refused when the model is a set of files."""


class ModelDelete(Params):
    model: ModelId


class ModelVerify(Params):
    model: ModelId


@dataclass(frozen=True)
class Operation:
    """`resource` names what a job reads or writes on one hive; a writer shares it with nobody."""

    name: str
    params: type[Params]
    lane: Lane
    resource: Callable[[dict[str, Any]], str]
    writes: bool
    pausable: bool
    words: str
    """What the job does, as a person says it; `{model}` and the like are filled from the parameters."""

    asks_vendor: bool = False
    """Whether it asks the model's vendor, whose token then travels with the claim."""

    def title(self, params: dict[str, Any]) -> str:
        return self.words.format_map(params)


def _model(params: dict[str, Any]) -> str:
    return f"model:{params['model']}"


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "model_download", ModelDownload, Lane.DOWNLOAD, _model, True, True, "Download {model}", True
        ),
        Operation("model_delete", ModelDelete, Lane.OTHER, _model, True, False, "Delete {model}"),
        Operation("model_verify", ModelVerify, Lane.OTHER, _model, False, False, "Verify {model}"),
    )
}
