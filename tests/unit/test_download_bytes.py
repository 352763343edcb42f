"""The downloader brings the right bytes, whatever shape an honest host gives them."""

from pathlib import Path

import pytest

from hive.download import STATE, clean_state
from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned, sha256
from tests.hubs.file_server import FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_large_file_comes_in_parallel_ranges_and_is_verified(server: FileServer, tmp_path: Path) -> None:
    body = noise(40 * MIB)
    served = server.add("m", body, rate=40 * MIB)
    rig = Rig(tmp_path)

    fetched = rig.fetch(planned(server.url("m"), body))

    assert rig.read() == body
    assert [(file.path, file.size, file.sha256) for file in fetched] == [
        ("model.gguf", len(body), sha256(body))
    ]
    assert server.most_parallel > 2
    assert served.sent < len(body) + 8 * MIB
    assert "If-Range" not in served.requests[0].headers
    assert {request.headers.get("If-Range") for request in served.requests[1:]} == {'"v1"'}
    assert {request.headers["Accept-Encoding"] for request in served.requests} == {"identity"}
    assert {request.headers["User-Agent"] for request in served.requests} == {"rbee/0.1"}


def test_progress_is_never_complete_before_it_is_verified(server: FileServer, tmp_path: Path) -> None:
    body = noise(12 * MIB)
    server.add("m", body, rate=2 * MIB)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), body))

    *before, last = rig.progress
    assert all(said.total == len(body) and said.done < len(body) for said in before)
    assert (last.done, last.total, last.phase) == (len(body), len(body), "verify")
    assert [said.done for said in before if said.phase == "download"] == sorted(
        said.done for said in before if said.phase == "download"
    )
    assert any(said.rate and said.eta is not None for said in before)
    assert rig.lines[-1] == "1 file of a-model verified, 12.6 MB."


@pytest.mark.parametrize(
    "shape",
    [
        {"ranges": False},
        {"chunked": True},
        {"ranges": False, "chunked": True},
        {"ranges": False, "length": False},
        {"etag": None, "modified": None},
        {"etag": None, "modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"etag": 'W/"weak"'},
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_every_framing_gives_the_same_bytes(
    server: FileServer, tmp_path: Path, shape: dict[str, object], known: bool
) -> None:
    body = noise(9 * MIB + 17)
    server.add("m", body, **shape)
    rig = Rig(tmp_path)

    [fetched] = rig.fetch(planned(server.url("m"), body if known else None))

    assert rig.read() == body
    assert (fetched.size, fetched.sha256) == (len(body), sha256(body))


def test_a_host_without_ranges_is_asked_once(server: FileServer, tmp_path: Path) -> None:
    body = noise(9 * MIB)
    served = server.add("m", body, ranges=False)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), body))

    assert len(served.requests) == 1
    assert served.sent == len(body)


@pytest.mark.parametrize("size", [0, 1, 4095, 4 * MIB, 4 * MIB + 1])
@pytest.mark.parametrize("known", [True, False])
def test_files_of_every_size_come_whole(server: FileServer, tmp_path: Path, size: int, known: bool) -> None:
    body = noise(size)
    server.add("m", body)
    rig = Rig(tmp_path)

    [fetched] = rig.fetch(planned(server.url("m"), body if known else None))

    assert rig.read() == body
    assert (fetched.size, fetched.sha256) == (size, sha256(body))


def test_many_small_files_come_at_once_beside_a_large_one(server: FileServer, tmp_path: Path) -> None:
    bodies = {f"part/{number:02}.json": noise(2000 + number, number) for number in range(50)}
    bodies["model-00001.gguf"] = noise(20 * MIB, 99)
    for path, body in bodies.items():
        server.add(path, body, rate=40 * MIB)
    rig = Rig(tmp_path)
    files = [planned(server.url(path), body, path=path) for path, body in bodies.items()]

    fetched = rig.fetch(*files)

    assert [file.path for file in fetched] == list(bodies)
    assert all(rig.read(path) == body for path, body in bodies.items())
    assert server.most_parallel > 4
    total = sum(map(len, bodies.values()))
    assert {said.total for said in rig.progress} == {total}


def test_after_cleaning_the_folder_holds_exactly_the_files(server: FileServer, tmp_path: Path) -> None:
    body = noise(5 * MIB)
    server.add("m", body)
    rig = Rig(tmp_path)
    rig.fetch(planned(server.url("m"), body, path="a/b.gguf"))
    assert (rig.folder / STATE).is_dir()

    clean_state(rig.folder)

    assert [str(path.relative_to(rig.folder)) for path in sorted(rig.folder.rglob("*"))] == ["a", "a/b.gguf"]


def test_a_local_file_is_copied_through_the_same_checks(tmp_path: Path) -> None:
    body = noise(9 * MIB)
    source = tmp_path / "a model.gguf"
    source.write_bytes(body)
    rig = Rig(tmp_path)

    [fetched] = rig.fetch(planned(source.as_uri(), None))

    assert rig.read() == body
    assert fetched.sha256 == sha256(body)


@pytest.mark.parametrize(("name", "code"), [("absent", "not_found"), (".", "unreadable")])
def test_a_local_path_that_is_no_file_is_refused(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(planned((tmp_path / name).as_uri(), None))

    assert failed.value.code == code


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), (f"{STATE}/x",)])
def test_a_plan_that_contradicts_itself_is_refused(tmp_path: Path, paths: tuple[str, ...]) -> None:
    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(*(planned("https://host/x", b"", path=path) for path in paths))

    assert failed.value.code == "bad_plan"


def test_a_bandwidth_limit_holds_over_all_connections(server: FileServer, tmp_path: Path) -> None:
    body = noise(2 * MIB)
    server.add("m", body)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), body), bandwidth=2 * MIB)

    rates = [said.rate for said in rig.progress if said.rate]
    assert rates
    assert max(rates) < 3.5 * MIB
