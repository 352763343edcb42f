"""What the catalogs of a hive have in common: artifacts, their status, their vendors and their keeping."""

from collections.abc import Generator, Mapping, Sequence
from typing import Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from hive.stop import Stop
from shared.narration import Said
from shared.plan import Plan


class ArtifactStatus(BaseModel):
    """available | downloading | failed{error}. `error` is one sentence for a person, with what to do."""

    model_config = ConfigDict(frozen=True)

    state: Literal["available", "downloading", "failed"]
    error: str | None = None

    @classmethod
    def available(cls) -> Self:
        return cls(state="available")

    @classmethod
    def downloading(cls) -> Self:
        return cls(state="downloading")

    @classmethod
    def failed(cls, error: str) -> Self:
        return cls(state="failed", error=error)


class Artifact(Protocol):
    """Something a hive has or is getting: a model, a worker package."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str:
        """The main file, relative to the artifact's folder; empty while it has none."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""

    @property
    def status(self) -> ArtifactStatus: ...


T = TypeVar("T", bound=Artifact)
T_co = TypeVar("T_co", bound=Artifact, covariant=True)


class ArtifactCatalog(Protocol[T]):
    """The artifacts of one kind on one hive, kept as folders with a metadata file."""

    def add(self, artifact: T) -> None: ...
    def get(self, artifact_id: str) -> T:
        """Raises NotFound."""

    def list(self) -> Sequence[T]: ...
    def remove(self, artifact_id: str) -> int:
        """Bytes freed. Raises NotFound."""

    def contains(self, artifact_id: str) -> bool: ...
    def __len__(self) -> int: ...


class VendorSource(Protocol):
    """Where artifacts come from. A vendor only plans; the one downloader moves the bytes."""

    @property
    def name(self) -> str: ...
    def supports(self, model: str) -> bool: ...
    def plan(
        self, model: str, revision: str | None, *, secrets: Mapping[str, str], stop: Stop
    ) -> Generator[Said, None, Plan]:
        """Raises JobFailed with one sentence and what to do, Stopped."""

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Request headers for the first hop of the plan's URLs, and for no other host."""


class ArtifactProvisioner(Protocol[T_co]):
    """Plans, fetches and publishes one artifact."""

    def supports(self, artifact_id: str) -> bool: ...
    def provision(self, artifact_id: str, stop: Stop) -> Generator[Said, None, T_co]: ...
