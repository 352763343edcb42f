"""One file behind a URL: `https://host/file.gguf`, and `http://` where the host is configured.

Which hosts may be asked is the downloader's rule, for every hop alike; the first answer tells the size.
"""

import re
from collections.abc import Generator, Mapping
from urllib.parse import unquote, urlsplit

from hive.quantization import label_of
from hive.stop import Stop
from hive.vendors.gguf_choice import PICKLES
from shared.errors import JobFailed
from shared.narration import Said
from shared.plan import Plan, PlannedFile

_UNSAFE = re.compile(r"[^\w.+=@ ()\[\]-]")
_MAX_NAME = 200
"""Characters of a file name, so that it fits every file system with room for a suffix."""


class UrlVendor:
    name = "url"

    def supports(self, model: str) -> bool:
        return model.lower().startswith(("https://", "http://"))

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        return {}

    def plan(
        self, model: str, revision: str | None, *, secrets: Mapping[str, str], stop: Stop
    ) -> Generator[Said, None, Plan]:
        """Raises JobFailed: no_revisions, unsafe_format."""
        refuse_revision(model, revision)
        name = _file_name(model)
        refuse_pickle(name)
        yield from ()
        return Plan(
            vendor=self.name,
            model=model,
            files=[PlannedFile(path=name, url=urlsplit(model)._replace(fragment="").geturl())],
            quantization=label_of(name),
        )


def refuse_revision(model: str, revision: str | None) -> None:
    if revision is not None:
        raise JobFailed(
            f"A {model.split(':', 1)[0]} address has no revisions.",
            code="no_revisions",
            hint="Leave the revision out.",
        )


def refuse_pickle(name: str) -> None:
    """`.bin` passes here: outside of hubs it says nothing about the format."""
    if name.lower().endswith(tuple(ending for ending in PICKLES if ending != ".bin")):
        raise JobFailed(
            f"{name} is a pickle, a format that can run code when it is loaded.",
            code="unsafe_format",
            hint="Use a .gguf or .safetensors file.",
        )


def _file_name(url: str) -> str:
    """The last part of the path, tamed; `model` where a server names its files by query alone."""
    last = unquote(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1])
    name = _UNSAFE.sub("_", last).lstrip(".").strip()
    stem, dot, ending = name.rpartition(".")
    if len(name) > _MAX_NAME and dot:
        name = f"{stem[: _MAX_NAME - len(ending) - 1]}.{ending}"
    return name[-_MAX_NAME:] or "model"
