"""What a job hands to its domain function. No Celery, no Redis."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hive.catalog import ModelCatalog
from hive.download import FetchedFile
from hive.stop import Stop
from hive.vendors import Vendors
from shared.ids import model_name
from shared.narration import Said
from shared.plan import Plan

StorePlan = Callable[[dict[str, Any], int | None], None]
"""Takes a plan and its bytes (None: unknown) away; raises what ends the attempt if it cannot fit."""


class Fetches(Protocol):
    """The one downloader."""

    def fetch(
        self,
        plan: Plan,
        folder: Path,
        *,
        headers: Mapping[str, str] | None,
        stop: Stop,
        bandwidth: int | None = None,
    ) -> Generator[Said, None, list[FetchedFile]]: ...


@dataclass(frozen=True)
class Work:
    """`params` are those of `shared.operations`; `plan` is the one that an earlier attempt stored."""

    params: dict[str, Any]
    stop: Stop
    catalog: ModelCatalog
    downloader: Fetches
    vendors: Vendors
    plan: dict[str, Any] | None = None
    store_plan: StorePlan = field(default=lambda plan, size: None)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """By setting name, such as HF_TOKEN."""
    bandwidth: int | None = None
    """Bytes a second; None is unlimited."""
    job_id: str = ""
    """Kept with what the job published, so that a later attempt of it knows its own work."""

    @property
    def model(self) -> str:
        return str(self.params["model"])

    @property
    def name(self) -> str:
        """The model in a sentence."""
        return model_name(self.model)


Narrated = Generator[Said, None, dict[str, Any]]
"""What a domain function returns: it says things, and in the end the job's result."""
