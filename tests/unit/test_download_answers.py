"""Bytes that are not the planned file: other versions, lengths, pages, ranges; never mixed in, never published."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import Exchange, FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(10 * MIB)


def first(times: int, spoil: Callable[[Exchange], bool | None]) -> Callable[[Exchange], bool | None]:
    return lambda exchange: spoil(exchange) if exchange.request.number <= times else None


def failure(rig: Rig, server: FileServer, **more: object) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        rig.fetch(planned(server.url("m"), BODY, **more))
    assert failed.value.hint
    assert not (rig.folder / "model.gguf").exists()
    return failed.value


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"<p>please log in</p>"),
        ("application/octet-stream", b"\n <!DOCTYPE html><title>login</title>"),
        ("application/json", b'{"error": "no"}'),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_page_is_not_a_model(
    server: FileServer, tmp_path: Path, content_type: str, body: bytes, known: bool
) -> None:
    server.add("m", body, content_type=content_type, ranges=False)

    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(planned(server.url("m"), BODY if known else None))

    assert failed.value.code == "not_a_model"


def test_a_page_of_the_planned_length_is_not_a_model_either(server: FileServer, tmp_path: Path) -> None:
    body = b"<html>" + b" " * 1000
    server.add("m", body, content_type="text/html")

    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(planned(server.url("m"), None, size=len(body)))

    assert failed.value.code == "not_a_model"


def test_compressed_bytes_without_a_hash_to_check_them_are_refused(
    server: FileServer, tmp_path: Path
) -> None:
    hooked = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    server.add("m", b"", hook=lambda exchange: exchange.reply(200, hooked, b"not the file"))

    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(planned(server.url("m"), None))

    assert failed.value.code == "not_a_model"


def test_a_planned_page_is_a_file_like_any_other(server: FileServer, tmp_path: Path) -> None:
    body = b"<html>model card</html>"
    server.add("m", body, content_type="text/html")
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), None, path="card.html"))

    assert rig.read("card.html") == body


@pytest.mark.parametrize("shape", [{}, {"ranges": False}, {"ranges": False, "chunked": True}])
@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_wrong_length_is_refused(
    server: FileServer, tmp_path: Path, shape: dict[str, bool], difference: int
) -> None:
    server.add("m", noise(len(BODY) + difference), **shape)

    failed = failure(Rig(tmp_path, retries=1), server)

    assert failed.code in (
        {"wrong_length"} if not shape.get("chunked") else {"wrong_length", "checksum_mismatch", "unreachable"}
    )


def test_wrong_bytes_of_the_right_length_are_fetched_once_more(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", noise(len(BODY), seed=2), etag='"same"')

    def mend(_: Exchange) -> None:
        if served.sent >= len(BODY):
            served.body = BODY

    served.hook = mend
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said("does not match; fetches the whole file once more")


def test_wrong_bytes_twice_are_given_up(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", noise(len(BODY), seed=2))
    rig = Rig(tmp_path)

    failed = failure(rig, server)

    assert failed.code == "checksum_mismatch"
    assert rig.said("does not match; fetches the whole file once more")
    assert served.sent >= 2 * len(BODY)


def test_a_file_that_changes_midway_starts_again_and_is_never_mixed(
    server: FileServer, tmp_path: Path
) -> None:
    other = noise(len(BODY), seed=3)
    served = server.add("m", other, etag='"old"')

    def publish(exchange: Exchange) -> None:
        exchange.cut_after = 200_000
        served.body, served.etag, served.hook = BODY, '"new"', None

    served.hook = lambda exchange: publish(exchange) if exchange.request.number == 3 else None
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), None, size=len(BODY)))

    assert rig.read() == BODY
    assert rig.said("starts again from the beginning")


def test_a_file_that_never_stops_changing_is_given_up(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)

    def publish(exchange: Exchange) -> None:
        exchange.cut_after = 100_000
        served.etag = f'"v{exchange.request.number}"'

    served.hook = publish

    failed = failure(Rig(tmp_path), server)

    assert failed.code == "changed"


def test_marks_that_proxies_add_to_an_etag_are_no_change(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY, etag='"abc"')

    def mark(exchange: Exchange) -> None:
        served.etag = ['"abc"', '"abc-gzip"', 'W/"abc"'][exchange.request.number % 3]

    served.hook = mark
    served.modified = None
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert not rig.said("starts again")


@pytest.mark.parametrize("header", ["bytes 5-9/*", "bytes 0-3/10485760", "nonsense", None])
def test_a_part_that_contradicts_itself_is_asked_for_again(
    server: FileServer, tmp_path: Path, header: str | None
) -> None:
    def lie(exchange: Exchange) -> bool:
        return exchange.reply(206, {"Content-Range": header} if header else {}, b"12345")

    server.add("m", BODY, hook=first(1, lie))
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY


def test_416_for_a_missing_range_starts_again(server: FileServer, tmp_path: Path) -> None:
    def refuse(exchange: Exchange) -> bool | None:
        return exchange.reply(416, {}) if exchange.request.number == 2 else None

    server.add("m", BODY, hook=refuse)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said("starts again")


def test_416_with_another_size_is_a_wrong_length(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY, hook=lambda exchange: exchange.reply(416, {"Content-Range": "bytes */7"}))

    assert failure(Rig(tmp_path), server).code == "wrong_length"
