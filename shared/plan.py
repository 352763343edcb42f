"""A vendor's plan: what a model is made of. Made once, stored on the job, reused by every attempt; holds no secret."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.ids import is_traversal


def _inside(path: str) -> str:
    if not path or is_traversal(path) or "\\" in path or "\x00" in path:
        raise ValueError("is not a relative path inside the model's folder")
    return path


RelativePath = Annotated[str, Field(max_length=512), AfterValidator(_inside)]


class PlannedFile(BaseModel):
    """One file of a model. `size` in bytes and `sha256` (lower-case hex) are None where the vendor does not say."""

    model_config = ConfigDict(extra="forbid")

    path: RelativePath
    url: str
    """Where the first request goes: `https://…`, `http://…` or `file:///…`."""
    size: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    etag: str | None = None
    """A strong validator seen while planning, quotes included, for vendors that give no hash."""


class Plan(BaseModel):
    """All files of one model at one revision."""

    model_config = ConfigDict(extra="forbid")

    vendor: str
    model: str
    revision: str | None = None
    """The commit the plan is pinned to, where the vendor has commits."""
    files: list[PlannedFile] = Field(min_length=1, max_length=10_000)
    quantization: str | None = None
    license: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes of all files; None when one of them is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)
