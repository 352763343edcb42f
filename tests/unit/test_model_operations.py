"""The three model operations, with the real downloader, real files and a hub on loopback."""

import hashlib
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hive.catalog import ModelCatalog
from hive.disk import Disk
from hive.download import Downloader, Origins
from hive.model_entry import Llm
from hive.operations import OPERATIONS, Narrated, Work
from hive.operations.model_download import CANCELLED
from hive.stop import Reason, Stop, Stopped
from hive.vendors import Pace, standard_vendors
from shared.errors import JobFailed
from shared.narration import Line, Progress, Said
from shared.operations import OPERATIONS as SHARED
from tests.hubs.huggingface import HuggingFaceHub

REPO = "acme/tiny-GGUF"


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(body: bytes = b"", context: int = 2048) -> bytes:
    """A head as llama.cpp writes it, and some weights."""
    pairs = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("general.size_label") + struct.pack("<I", 8) + _text("15M"),
        _text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + _text("a") + _text("b"),
        _text("llama.context_length") + struct.pack("<II", 4, context),
        _text("tokenizer.ggml.model") + struct.pack("<I", 8) + _text("gpt2"),
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs) + body


@dataclass
class Hive:
    """A hive's folders and tools, and the plans that its jobs stored."""

    root: Path
    hub: HuggingFaceHub
    stored: list[tuple[dict[str, Any], int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.catalog = ModelCatalog(self.root)

    def work(self, model: str = REPO, **more: Any) -> Work:
        hosts = [urlsplit(url).netloc for url in (self.hub.url, self.hub.cdn_url)]
        work = Work(
            params={"model": model},
            stop=Stop(),
            catalog=self.catalog,
            downloader=Downloader(origins=Origins(hosts), disk=Disk(self.root)),
            vendors=standard_vendors(hub_endpoint=self.hub.url, local_roots=[self.root], pace=Pace(2, 0.001)),
            store_plan=lambda plan, size: self.stored.append((plan, size)),
        )
        return replace(work, params=work.params | more.pop("params", {}), **more)


def run(narrated: Narrated) -> tuple[dict[str, Any], list[Said]]:
    said: list[Said] = []
    while True:
        try:
            said.append(next(narrated))
        except StopIteration as end:
            return end.value, said


def download(hive: Hive, model: str = REPO, **more: Any) -> dict[str, Any]:
    return run(OPERATIONS["model_download"](hive.work(model, **more)))[0]


def failure(narrated: Narrated) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        run(narrated)
    return caught.value


def lines(said: list[Said]) -> list[str]:
    return [line.text for line in said if isinstance(line, Line)]


@pytest.fixture
def hub() -> Iterator[HuggingFaceHub]:
    with HuggingFaceHub() as hub:
        hub.add(REPO, {"tiny.Q4_K_M.gguf": gguf(b"4" * 100_000), "README.md": b"# Tiny"})
        yield hub


@pytest.fixture
def hive(tmp_path: Path, hub: HuggingFaceHub) -> Hive:
    return Hive(tmp_path, hub)


def test_every_shared_operation_has_a_domain_function() -> None:
    assert OPERATIONS.keys() == SHARED.keys()


def test_a_download_ends_with_a_verified_model_in_the_catalog(hive: Hive) -> None:
    result, said = run(OPERATIONS["model_download"](hive.work()))

    content = gguf(b"4" * 100_000)
    entry = hive.catalog.get(REPO)
    assert result == {
        "model": REPO,
        "revision": hive.hub.repos[REPO].revisions["main"],
        "size": len(content),
        "quantization": "Q4_K_M",
        "files": [
            {"path": "tiny.Q4_K_M.gguf", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        ],
    }
    assert hive.catalog.main_path(entry).read_bytes() == content
    assert entry.model_type == Llm(architecture="llama", parameter_count="15M", context_length=2048)
    assert lines(said)[-1].startswith(f"{REPO} is available: 1 file, 100 kB, Q4_K_M, commit ")
    assert list(hive.catalog.partial.iterdir()) == []


def test_the_plan_is_stored_once_and_used_again(hive: Hive) -> None:
    download(hive)
    [(plan, size)] = hive.stored
    hive.catalog.remove(REPO)
    asked = len(hive.hub.requests)

    download(hive, plan=plan)

    assert size == len(gguf(b"4" * 100_000))
    assert len(hive.stored) == 1
    assert not any("/api/" in request.path for request in hive.hub.requests[asked:])


def test_what_the_plan_s_keeper_raises_ends_the_job_before_a_byte_is_fetched(hive: Hive) -> None:
    def full(plan: dict[str, Any], size: int | None) -> None:
        raise JobFailed("It does not fit.", code="disk_full")

    error = failure(OPERATIONS["model_download"](hive.work(store_plan=full)))

    assert error.code == "disk_full"
    assert hive.catalog.inventory() == []
    assert not any("/resolve/" in request.path for request in hive.hub.requests)


def test_a_model_that_is_here_is_not_fetched_again(hive: Hive) -> None:
    download(hive)
    hive.hub.requests.clear()

    result, said = run(OPERATIONS["model_download"](hive.work()))

    assert result["files"] == [file.model_dump() for file in hive.catalog.get(REPO).files]
    assert "is already here" in lines(said)[-1]
    assert not any("/resolve/" in request.path for request in hive.hub.requests)


def test_a_later_attempt_of_a_job_knows_what_an_earlier_one_published(hive: Hive) -> None:
    commit = hive.hub.repos[REPO].revisions["main"]
    model = f"{hive.hub.url}/{REPO}/resolve/{commit}/tiny.Q4_K_M.gguf"
    first = download(hive, model, job_id="job-1")
    hive.hub.requests.clear()

    second = download(hive, model, job_id="job-1", plan=hive.stored[0][0])

    assert second == first
    assert hive.hub.requests == []


def test_a_newer_revision_takes_the_place_of_the_older(hive: Hive) -> None:
    download(hive)
    newer = hive.hub.repos[REPO].commit({"tiny.Q4_K_M.gguf": gguf(b"5" * 100_000)})

    result = download(hive)

    assert result["revision"] == hive.catalog.get(REPO).revision == newer
    assert len(hive.catalog) == 1


def test_a_failed_update_leaves_the_older_revision_available(hive: Hive) -> None:
    older = download(hive)["revision"]
    newer = hive.hub.repos[REPO].commit({"tiny.Q4_K_M.gguf": gguf(b"5" * 100_000)})
    hive.hub.misbehave(f"/resolve/{newer}", status=404)

    failure(OPERATIONS["model_download"](hive.work()))

    entry = hive.catalog.get(REPO)
    assert (entry.status.state, entry.revision) == ("available", older)


def test_shards_and_projector_become_one_model(hive: Hive) -> None:
    shards = {f"Q8_0/m-0000{n}-of-00002.gguf": gguf(bytes([n]) * 5000) for n in (1, 2)}
    hive.hub.add("acme/vision", shards | {"mmproj-F16.gguf": gguf(b"eyes")})

    result = download(hive, "acme/vision")

    assert [file["path"] for file in result["files"]] == [*shards, "mmproj-F16.gguf"]
    assert hive.catalog.get("acme/vision").path == "Q8_0/m-00001-of-00002.gguf"


def test_a_local_file_is_brought_in_and_hashed(hive: Hive) -> None:
    (hive.root / "mine.gguf").write_bytes(gguf())

    result = download(hive, (hive.root / "mine.gguf").as_uri())

    assert result["files"][0]["sha256"] == hashlib.sha256(gguf()).hexdigest()


def test_a_url_is_brought_in_without_a_known_size(hive: Hive) -> None:
    commit = hive.hub.repos[REPO].revisions["main"]

    result = download(hive, f"{hive.hub.url}/{REPO}/resolve/{commit}/tiny.Q4_K_M.gguf")

    assert result["size"] == len(gguf(b"4" * 100_000))


def test_a_page_in_place_of_a_model_is_never_published(hive: Hive) -> None:
    hive.hub.misbehave(r"/wifi\.gguf", body=b"<!DOCTYPE html><title>Log in</title>")
    model = f"{hive.hub.url}/x/y/wifi.gguf"

    error = failure(OPERATIONS["model_download"](hive.work(model)))

    assert error.hint
    assert hive.catalog.get(model).status.state == "failed"


def test_a_demanded_hash_is_checked(hive: Hive) -> None:
    right = hashlib.sha256(gguf(b"4" * 100_000)).hexdigest()

    error = failure(OPERATIONS["model_download"](hive.work(params={"sha256": "0" * 64})))

    assert error.code == "checksum_mismatch"
    assert download(hive, params={"sha256": right.upper()})["files"][0]["sha256"] == right


def test_one_hash_cannot_be_demanded_of_a_set(hive: Hive) -> None:
    hive.hub.add("acme/vision", {"m-Q8_0.gguf": gguf(), "mmproj-F16.gguf": gguf()})

    error = failure(OPERATIONS["model_download"](hive.work("acme/vision", params={"sha256": "0" * 64})))

    assert error.code == "sha256_of_a_set"


def test_wrong_bytes_of_the_right_length_are_never_published(hive: Hive) -> None:
    hive.hub.misbehave("Signature=", corrupt=True)

    error = failure(OPERATIONS["model_download"](hive.work()))

    assert error.hint
    assert hive.catalog.available(REPO) is None
    assert hive.catalog.get(REPO).status.error == f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    ("reason", "state", "error"),
    [
        (Reason.CANCEL, "failed", CANCELLED),
        (Reason.PAUSE, "downloading", None),
        (Reason.LOST, "downloading", None),
    ],
)
def test_a_stop_keeps_the_pieces_and_says_how_it_stands(
    hive: Hive, reason: Reason, state: str, error: str | None
) -> None:
    hive.hub.misbehave("Signature=", hang=True)
    work = hive.work()
    threading.Timer(0.1, work.stop.set, (reason,)).start()

    with pytest.raises(Stopped):
        run(OPERATIONS["model_download"](work))

    entry = hive.catalog.get(REPO)
    assert (entry.status.state, entry.status.error) == (state, error)


def test_deleting_frees_the_room_and_says_how_much(hive: Hive) -> None:
    download(hive)

    result, said = run(OPERATIONS["model_delete"](hive.work()))

    assert result["freed"] >= 100_000
    assert "are free again" in lines(said)[-1]
    assert len(hive.catalog) == 0


@pytest.mark.parametrize("operation", ["model_delete", "model_verify"])
def test_a_model_that_is_not_here_is_not_found(hive: Hive, operation: str) -> None:
    assert failure(OPERATIONS[operation](hive.work("acme/other"))).code == "not_found"


def test_verifying_a_right_model_dates_it(hive: Hive) -> None:
    download(hive)
    before = hive.catalog.get(REPO).verified_at

    result, said = run(OPERATIONS["model_verify"](hive.work()))

    after = hive.catalog.get(REPO).verified_at
    assert before and after and after > before
    assert result["verified_at"] == after.isoformat()
    assert lines(said)[-1] == f"{REPO} is verified: 1 file matches the manifest."
    assert [said for said in said if isinstance(said, Progress)][-1].phase == "verify"


@pytest.mark.parametrize("damage", [b"GGUF but other bytes", None], ids=["wrong bytes", "no file"])
def test_a_damaged_model_is_taken_out_of_service_until_it_is_right_again(
    hive: Hive, damage: bytes | None
) -> None:
    download(hive)
    path = hive.catalog.main_path(hive.catalog.get(REPO))
    right = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage)

    error = failure(OPERATIONS["model_verify"](hive.work()))

    assert error.code == "checksum_mismatch"
    assert "tiny.Q4_K_M.gguf" in error.message
    assert hive.catalog.available(REPO) is None
    path.write_bytes(right)
    run(OPERATIONS["model_verify"](hive.work()))
    assert hive.catalog.available(REPO)


def test_a_damaged_model_is_replaced_by_downloading_it_again(hive: Hive) -> None:
    download(hive)
    hive.catalog.main_path(hive.catalog.get(REPO)).write_bytes(b"x")
    failure(OPERATIONS["model_verify"](hive.work()))

    download(hive)

    assert hive.catalog.available(REPO)


def test_a_verification_stops_at_once(hive: Hive) -> None:
    download(hive)
    work = hive.work()
    work.stop.set(Reason.CANCEL)

    with pytest.raises(Stopped):
        run(OPERATIONS["model_verify"](work))

    assert hive.catalog.available(REPO)


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        gguf()[:60],
        b"GGUF" + struct.pack("<IQQ", 99, 0, 0),
    ],
)
def test_a_strange_header_is_no_reason_to_fail(hive: Hive, content: bytes) -> None:
    hive.hub.add("acme/strange", {"m-Q8_0.gguf": content})

    download(hive, "acme/strange")

    assert hive.catalog.get("acme/strange").model_type is None
