"""A file on this machine: `file:///path/model.gguf`, below a configured folder and nowhere else."""

import os
import stat
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hive.quantization import SHARD, label_of
from hive.stop import Stop
from hive.vendors.gguf_choice import choose
from hive.vendors.url import refuse_pickle, refuse_revision
from shared.errors import JobFailed
from shared.narration import Line, Said
from shared.plan import Plan, PlannedFile


class LocalVendor:
    """`roots` are the folders that models may come from; symbolic links may not lead out of them."""

    name = "local"

    def __init__(self, roots: Iterable[Path] = ()) -> None:
        self._roots = [root.resolve() for root in roots]

    def supports(self, model: str) -> bool:
        return model.lower().startswith("file://")

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        return {}

    def plan(
        self, model: str, revision: str | None, *, secrets: Mapping[str, str], stop: Stop
    ) -> Generator[Said, None, Plan]:
        """A shard brings its set. Raises JobFailed: forbidden_address, file_not_found, incomplete_shards."""
        refuse_revision(model, revision)
        asked = Path(unquote(urlsplit(model).path))
        refuse_pickle(asked.name)
        main = self._inside(asked)
        paths = [self._inside(path) for path in _set_of(asked)] if SHARD.fullmatch(asked.name) else [main]
        names = [path.name for path in _set_of(asked)] if len(paths) > 1 else [asked.name]
        yield Line(f"Takes {asked.name} from a folder of this machine.")
        return Plan(
            vendor=self.name,
            model=model,
            files=[_planned(name, path) for name, path in zip(names, paths, strict=True)],
            quantization=label_of(asked.name),
        )

    def _inside(self, path: Path) -> Path:
        """The real path; what lies outside of the roots is not even told to exist."""
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise JobFailed(
                f"{path.name} does not lie in a folder that this hive may take models from.",
                code="forbidden_address",
                hint="Name the folder in RBEE_LOCAL_ROOTS on the hive.",
            )
        try:
            mode = real.stat().st_mode
        except OSError as error:
            raise _not_found(path) from error
        if not stat.S_ISREG(mode):
            raise JobFailed(
                f"{path.name} is not a file.", code="file_not_found", hint="Name the model's file."
            )
        return real


def _set_of(asked: Path) -> list[Path]:
    """All shards beside the one that was named, first to last."""
    sizes = {path.name: path.lstat().st_size for path in asked.parent.iterdir() if SHARD.fullmatch(path.name)}
    return [asked.parent / name for name in choose(asked.parent.name, sizes, asked.name).paths]


def _planned(name: str, real: Path) -> PlannedFile:
    return PlannedFile(path=name, url=real.as_uri(), size=real.stat().st_size)


def _not_found(path: Path) -> JobFailed:
    return JobFailed(f"There is no {path.name} in its folder.", code="file_not_found", hint="Check the path.")
