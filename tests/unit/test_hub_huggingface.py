"""The hub of the tests, used by the real client library as it comes."""

import hashlib
import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download
from huggingface_hub.errors import GatedRepoError

from tests.hubs.huggingface import HuggingFaceHub

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def hub() -> Iterator[HuggingFaceHub]:
    with HuggingFaceHub() as hub:
        hub.add("acme/tiny", {"tiny.gguf": CONTENT, "config.json": b"{}"})
        yield hub


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("name", "content"), [("tiny.gguf", CONTENT), ("config.json", b"{}")])
def test_the_client_downloads_a_file(hub: HuggingFaceHub, tmp_path: Path, name: str, content: bytes) -> None:
    path = hf_hub_download("acme/tiny", name, endpoint=hub.url, cache_dir=tmp_path, token=False)

    assert Path(path).read_bytes() == content


def test_the_client_reads_the_hash_of_a_large_file(hub: HuggingFaceHub) -> None:
    facts = get_hf_file_metadata(f"{hub.url}/acme/tiny/resolve/main/tiny.gguf", token=False)

    assert facts.etag == hashlib.sha256(CONTENT).hexdigest()
    assert (facts.size, facts.commit_hash) == (len(CONTENT), hub.repos["acme/tiny"].revisions["main"])


def test_a_gated_file_is_refused_as_the_client_knows_it(hub: HuggingFaceHub) -> None:
    hub.add("acme/gated", {"tiny.gguf": CONTENT}, gated="manual")

    with pytest.raises(GatedRepoError):
        get_hf_file_metadata(f"{hub.url}/acme/gated/resolve/main/tiny.gguf", token=False)

    assert HfApi(endpoint=hub.url, token=False).model_info("acme/gated").gated == "manual"


def test_the_bytes_come_from_another_port_in_ranges(hub: HuggingFaceHub) -> None:
    status, headers, _ = get(f"{hub.url}/acme/tiny/resolve/main/tiny.gguf")
    location = headers["Location"]

    part = get(location, Range="bytes=10-19")

    assert (status, urlsplit(location).netloc) == (302, urlsplit(hub.cdn_url).netloc)
    assert (part[0], part[1]["Content-Range"], part[2]) == (
        206,
        f"bytes 10-19/{len(CONTENT)}",
        CONTENT[10:20],
    )
    assert get(location, Range=f"bytes={len(CONTENT)}-")[0] == 416
    assert get(location, Range="bytes=10-19", **{"If-Range": '"other"'})[0] == 200
    assert get(location, Authorization="Bearer hf_x")[0] == 400


def test_it_serves_a_folder_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "acme" / "tiny").mkdir(parents=True)
    (tmp_path / "acme" / "tiny" / "tiny.gguf").write_bytes(CONTENT)
    command = [sys.executable, "-m", "tests.hubs.huggingface", "--root", str(tmp_path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip().removeprefix("HF_ENDPOINT=")

            assert [file.path for file in HfApi(endpoint=url, token=False).list_repo_tree("acme/tiny")] == [
                "tiny.gguf"
            ]
        finally:
            program.terminate()
