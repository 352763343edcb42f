"""What hosts do wrong: each fault ends in the right bytes, or in one sentence that says what to do."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from hive.download import Origins
from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, leftovers, noise, planned
from tests.hubs.file_server import Exchange, FileServer

BODY = noise(10 * MIB)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert leftovers() == ([], [])


def first(times: int, spoil: Callable[[Exchange], bool | None]) -> Callable[[Exchange], bool | None]:
    return lambda exchange: spoil(exchange) if exchange.request.number <= times else None


def cut_after(count: int) -> Callable[[Exchange], None]:
    def spoil(exchange: Exchange) -> None:
        exchange.cut_after = count

    return spoil


def failure(rig: Rig, server: FileServer, **more: object) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        rig.fetch(planned(server.url("m"), BODY, **more))
    assert failed.value.hint
    assert not (rig.folder / "model.gguf").exists()
    return failed.value


def test_cut_connections_go_on_where_they_ended(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY, hook=first(30, cut_after(300_000)))
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert served.sent < len(BODY) * 1.2
    assert rig.said("hung up early; retry 1 of 6 in")


def test_a_host_that_hangs_up_at_once_is_tried_again_and_then_given_up(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.add("m", BODY, hook=lambda exchange: exchange.hang_up())
    rig = Rig(tmp_path, retries=3)

    failed = failure(rig, server)

    assert failed.code == "unreachable"
    assert "after 4 tries" in failed.message
    assert len(served.requests) <= 8
    assert [line for line in rig.lines if "retry" in line][-1].startswith(
        "model.gguf: the connection to 127.0.0.1 broke; retry 3"
    )


def test_a_refused_connection_is_told(tmp_path: Path) -> None:
    with FileServer() as gone:
        url = gone.url("m")
    rig = Rig(tmp_path, retries=1)

    with pytest.raises(JobFailed) as failed:
        rig.fetch(planned(url, BODY))

    assert failed.value.code == "unreachable"
    assert "connection refused" in failed.value.message


@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_server_errors_are_retried(server: FileServer, tmp_path: Path, status: int) -> None:
    server.add("m", BODY, hook=first(2, lambda exchange: exchange.reply(status)))
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said(f"127.0.0.1 answers {status}; retry 2 of 6 in")


def test_a_stalled_connection_is_dropped_and_the_rest_fetched_anew(
    server: FileServer, tmp_path: Path
) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.stall_after = 100_000

    served = server.add("m", BODY, hook=first(1, stall))
    rig = Rig(tmp_path, stall_timeout=0.5, connections=1)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert served.sent < len(BODY) + MIB
    assert rig.said("sends nothing any more; retry 1 of 6 in")


def test_a_slow_drip_loses_its_rest_to_the_others(server: FileServer, tmp_path: Path) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.rate = 20_000 if exchange.request.number == 2 else 8 * MIB

    server.add("m", BODY, hook=drip)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY


@pytest.mark.parametrize(("status", "as_date"), [(429, True), (503, False)])
def test_retry_after_is_honoured_and_told(
    server: FileServer, tmp_path: Path, status: int, as_date: bool
) -> None:
    def busy(exchange: Exchange) -> bool:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return exchange.reply(status, {"Retry-After": date if as_date else "1"})

    served = server.add("m", BODY, hook=first(1, busy))
    rig = Rig(tmp_path, retries=0)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said(f"127.0.0.1 answers {status}, waits")
    assert len(served.requests) > 1


def test_a_host_that_stays_busy_is_given_up_in_the_end(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY, hook=lambda exchange: exchange.reply(429, {"Retry-After": "0"}))

    failed = failure(Rig(tmp_path, retries=2), server)

    assert failed.code == "too_many_requests"
    assert len(served.requests) == 16


@pytest.mark.parametrize("status", [403, 429])
def test_a_host_that_refuses_parallel_requests_gets_one_at_a_time(
    server: FileServer, tmp_path: Path, status: int
) -> None:
    def alone(exchange: Exchange) -> bool | None:
        return exchange.reply(status) if exchange.request.parallel > 1 else None

    server.add("m", BODY, rate=40 * MIB, hook=alone)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said("goes on with one connection")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "unauthorized", "wants a login for model.gguf (status 401)"),
        (403, "forbidden", "refuses model.gguf (status 403)"),
        (404, "not_found", "has no model.gguf (status 404)"),
        (410, "not_found", "has no model.gguf (status 410)"),
        (451, "refused", "refuses model.gguf (status 451)"),
    ],
)
def test_refusals_fail_at_once_with_what_to_do(
    server: FileServer, tmp_path: Path, status: int, code: str, words: str
) -> None:
    served = server.add("m", BODY, hook=lambda exchange: exchange.reply(status))

    failed = failure(Rig(tmp_path), server)

    assert failed.code == code
    assert words in failed.message
    assert len(served.requests) == 1


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


def test_a_host_that_caps_ranges_is_asked_for_the_rest(server: FileServer, tmp_path: Path) -> None:
    def cap(exchange: Exchange) -> None:
        first, last = exchange.request.range or (0, None)
        exchange.request.range = (first, min(first + MIB - 1, len(BODY) - 1 if last is None else last))

    server.add("m", BODY, hook=cap)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert not rig.said("retry")


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


def test_a_host_that_forgets_ranges_midway_is_followed_by_one_stream(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.add("m", BODY, rate=20 * MIB)

    def forget(exchange: Exchange) -> None:
        served.ranges = False
        exchange.cut_after = 5 * MIB if exchange.request.number == 1 else None

    served.hook = forget
    rig = Rig(tmp_path, connections=1)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY


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


def test_an_expired_link_is_resolved_anew(server: FileServer, tmp_path: Path) -> None:
    valid = {"key": "a"}
    with FileServer() as store:
        front = server.add(
            "m", b"", hook=lambda exchange: exchange.redirect(store.url(f"blob?key={valid['key']}"))
        )

        def presigned(exchange: Exchange) -> bool | None:
            if exchange.request.number == 2:
                valid["key"] = "b"
            return exchange.reply(403) if exchange.request.path != f"/blob?key={valid['key']}" else None

        store.add("blob", BODY, hook=presigned, rate=20 * MIB)
        rig = Rig(tmp_path)

        rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said("has expired, asks for a new one")
    assert len(front.requests) <= 10


def test_a_redirect_to_another_host_gets_no_credentials(server: FileServer, tmp_path: Path) -> None:
    with FileServer() as store:
        blob = store.add("blob", BODY)
        front = server.add("m", b"", hook=lambda exchange: exchange.redirect("/deeper/m"))
        deeper = server.add("deeper/m", b"", hook=lambda exchange: exchange.redirect(store.url("blob"), 307))

        Rig(tmp_path).fetch(planned(server.url("m"), BODY), headers={"Authorization": "Bearer secret"})

    assert {request.headers.get("Authorization") for request in [*front.requests, *deeper.requests]} == {
        "Bearer secret"
    }
    assert {request.headers.get("Authorization") for request in blob.requests} == {None}


def test_a_redirect_in_a_circle_ends(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", b"", hook=lambda exchange: exchange.redirect("/m"))

    assert failure(Rig(tmp_path), server).code == "redirect_loop"
    assert len(served.requests) == 11


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://h/x", "http://[bad/x"]
)
def test_a_redirect_to_a_forbidden_place_fails(server: FileServer, tmp_path: Path, location: str) -> None:
    server.add("m", b"", hook=lambda exchange: exchange.redirect(location))
    rig = Rig(tmp_path, origins=Origins([server.host]))

    assert failure(rig, server).code == "forbidden_address"


def test_one_failing_file_ends_the_set_and_keeps_what_is_verified(server: FileServer, tmp_path: Path) -> None:
    arrived = threading.Event()
    good = noise(1000)
    server.add("good", good)
    server.add("m", BODY, hook=lambda exchange: arrived.wait(5) and exchange.reply(404))
    rig = Rig(tmp_path)
    job = rig.start(planned(server.url("good"), good, path="good"), planned(server.url("m"), BODY))

    with pytest.raises(JobFailed) as failed:
        for _ in job:
            if (rig.folder / "good").exists():
                arrived.set()

    assert failed.value.code == "not_found"
    assert rig.read("good") == good
