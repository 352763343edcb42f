"""Hugging Face: `org/repo`, `org/repo:file.gguf`, `org/repo:Q4_K_M`."""

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import httpx2

from hive.stop import Stop
from hive.vendors.gguf_choice import FileSet, choose
from hive.vendors.hub_client import HubTrouble, ask, load
from hive.vendors.hub_errors import Asked, as_job_failed, offline, unauthorized
from hive.vendors.pace import Pace
from shared.ids import model_id_problem
from shared.narration import Line, Said
from shared.plan import Plan, PlannedFile

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

T = TypeVar("T")

_TOKEN_SHAPE = re.compile(r"[!-~]{1,512}")
"""What may stand in a header; anything else was copied with a blank or a line end."""

ENDPOINT = "https://huggingface.co"
_ANSWERS = (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What the library raises for refusals and for answers that it cannot read."""

TOKEN = "HF_TOKEN"  # noqa: S105 - the name under which the token is handed over


@dataclass(frozen=True)
class _Listing:
    """What the hub says about a repository at one commit."""

    commit: str
    gated: bool
    license: str | None
    files: "dict[str, RepoFile]"


class HuggingFaceVendor:
    """Asks the hub at `endpoint` through its real client library; the token goes there and nowhere else."""

    name = "huggingface"

    def __init__(self, endpoint: str = ENDPOINT, pace: Pace | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._pace = pace or Pace()

    def supports(self, model: str) -> bool:
        return "://" not in model and model_id_problem(model) is None

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        token = secrets.get(TOKEN)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def plan(
        self, model: str, revision: str | None, *, secrets: Mapping[str, str], stop: Stop
    ) -> Generator[Said, None, Plan]:
        """Pins the commit, chooses the files. Raises JobFailed, codes in `hub_errors` and `gguf_choice`."""
        repo, _, wanted = model.partition(":")
        token = secrets.get(TOKEN) or None
        asked = Asked(self.endpoint, repo, revision, token is not None)
        if token and not _TOKEN_SHAPE.fullmatch(token):
            raise unauthorized(asked)
        yield Line(f"Asks {asked.host} for the files of {repo}" + (f" at {revision}." if revision else "."))
        listing = yield from self._patiently(lambda: self._list(repo, revision, token), asked, stop)
        sizes = {path: file.size for path, file in listing.files.items()}
        chosen = choose(repo, sizes, wanted or None)
        if listing.gated:
            url = self._url(repo, listing.commit, chosen.paths[0])
            yield from self._patiently(lambda: _knock(url, self.endpoint, token), asked, stop)
        return self._plan_of(model, repo, listing, chosen, asked)

    def _patiently(self, question: Callable[[], T], asked: Asked, stop: Stop) -> Generator[Said, None, T]:
        load()
        from huggingface_hub import is_offline_mode

        if is_offline_mode():
            raise offline(asked)
        for tried in count(1):
            try:
                return ask(question, self.endpoint, stop)
            except HubTrouble as trouble:
                if tried >= self._pace.attempts:
                    raise as_job_failed(trouble, asked) or trouble from trouble
                delay = self._pace.delay(tried, trouble.retry_after)
                attempt = f"attempt {tried + 1} of {self._pace.attempts}"
                yield Line(f"{asked.host} {trouble.told}; asks again in {delay:.0f} s ({attempt}).")
                stop.wait(delay)
            except _ANSWERS as error:
                raise as_job_failed(error, asked) or error from error
        raise AssertionError("unreachable")

    def _list(self, repo: str, revision: str | None, token: str | None) -> _Listing:
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        api = HfApi(endpoint=self.endpoint, token=token or False)
        info = api.model_info(repo, revision=revision)
        if not info.sha:
            raise ValueError("no commit")
        tree = api.list_repo_tree(repo, recursive=True, revision=info.sha)
        files = {item.path: item for item in tree if isinstance(item, RepoFile)}
        return _Listing(info.sha, bool(info.gated), _license(info.tags or []), files)

    def _plan_of(self, model: str, repo: str, listing: _Listing, chosen: FileSet, asked: Asked) -> Plan:
        try:
            return Plan(
                vendor=self.name,
                model=model,
                revision=listing.commit,
                files=[self._planned(repo, listing.commit, listing.files[path]) for path in chosen.paths],
                quantization=chosen.label,
                license=listing.license,
            )
        except ValueError as error:
            raise as_job_failed(error, asked) or error from error

    def _planned(self, repo: str, commit: str, file: "RepoFile") -> PlannedFile:
        sha256 = file.lfs.sha256.lower() if file.lfs else None
        return PlannedFile(
            path=file.path, url=self._url(repo, commit, file.path), size=file.size, sha256=sha256
        )

    def _url(self, repo: str, commit: str, path: str) -> str:
        return f"{self.endpoint}/{repo}/resolve/{commit}/{quote(path)}"


def _knock(url: str, endpoint: str, token: str | None) -> None:
    """A gated repository lists its files to everybody; only a request for one tells if it may be read."""
    from huggingface_hub import get_hf_file_metadata

    get_hf_file_metadata(url, token=token or False, endpoint=endpoint)


def _license(tags: list[str]) -> str | None:
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
