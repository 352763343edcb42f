"""What hosts and networks do wrong: the download goes on, or ends in one sentence that says what to do."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import Exchange, FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(10 * MIB)


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


def test_a_host_that_caps_ranges_is_asked_for_the_rest(server: FileServer, tmp_path: Path) -> None:
    def cap(exchange: Exchange) -> None:
        first, last = exchange.request.range or (0, None)
        exchange.request.range = (first, min(first + MIB - 1, len(BODY) - 1 if last is None else last))

    server.add("m", BODY, hook=cap)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert not rig.said("retry")


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
