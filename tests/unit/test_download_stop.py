"""A stop ends every socket and thread at once, whatever the download is doing."""

import gc
import threading
import time
from pathlib import Path

import pytest

from hive.stop import Reason, Stopped
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import Exchange, FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(16 * MIB)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_stop_closes_the_last_socket_at_once(server: FileServer, tmp_path: Path, reason: Reason) -> None:
    server.add("m", BODY, rate=MIB)
    rig = Rig(tmp_path)
    job = rig.fetch_until(MIB, planned(server.url("m"), BODY))

    asked = time.monotonic()
    rig.stop.set(reason)
    closed = server.wait_until_idle(5)
    took = time.monotonic() - asked

    assert closed
    assert took < 1.0
    with pytest.raises(Stopped) as stopped:
        list(job)
    assert stopped.value.reason is reason


@pytest.mark.parametrize("trouble", ["stall", "silence", "busy", "retry", "bandwidth"])
def test_no_wait_outlasts_a_stop(server: FileServer, tmp_path: Path, trouble: str) -> None:
    waiting = threading.Event()

    def spoil(exchange: Exchange) -> bool | None:
        waiting.set()
        match trouble:
            case "stall":
                exchange.stall_after = 1000
            case "silence":
                return bool(server.closing.wait())
            case "busy":
                return exchange.reply(429, {"Retry-After": "500"})
            case "retry":
                return exchange.hang_up()
        return None

    server.add("m", BODY, hook=spoil)
    rig = Rig(tmp_path, first_delay=60.0)
    job = rig.start(planned(server.url("m"), BODY), bandwidth=1000 if trouble == "bandwidth" else None)
    next(job)
    canceller = threading.Thread(target=lambda: (waiting.wait(5), rig.stop.set(Reason.CANCEL)))
    canceller.start()

    began = time.monotonic()
    with pytest.raises(Stopped):
        list(job)

    assert time.monotonic() - began < 3.0
    canceller.join()


def test_closing_the_generator_ends_everything(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY, rate=MIB)
    job = Rig(tmp_path).fetch_until(MIB, planned(server.url("m"), BODY))

    job.close()

    assert server.wait_until_idle(5)


def test_dropping_the_generator_ends_everything(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY, rate=MIB)
    job = Rig(tmp_path).fetch_until(MIB, planned(server.url("m"), BODY))

    del job
    gc.collect()

    assert server.wait_until_idle(5)


def test_a_stop_before_the_start_asks_nobody(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)
    rig = Rig(tmp_path)
    rig.stop.set(Reason.SHUTDOWN)

    with pytest.raises(Stopped):
        rig.fetch(planned(server.url("m"), BODY))

    assert served.requests == []


def test_a_stop_in_one_job_leaves_another_alone(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY, rate=4 * MIB)
    one, two = Rig(tmp_path / "one"), Rig(tmp_path / "two")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    stopped = one.fetch_until(MIB, planned(server.url("m"), BODY))
    other = two.fetch_until(MIB, planned(server.url("m"), BODY))

    one.stop.set(Reason.CANCEL)
    with pytest.raises(Stopped):
        list(stopped)
    list(other)

    assert two.read() == BODY
