"""One download from POST to `end`, through every process, and what stops it."""

import os
import signal
import threading
import time

import pytest

from tests.hubs.file_server import FileServer, Served
from tests.stack import Stack, assert_told_once, wait_for

SIZE = 64 << 20
RATE = 1 << 20
"""Bytes a second and connection: with eight connections the file takes eight seconds."""


def slow_model(
    files: FileServer, name: str = "m.gguf", size: int = SIZE, rate: int | None = RATE
) -> tuple[str, Served]:
    body = b"GGUF" + os.urandom(1 << 16)
    served = files.add(name, (body * (size // len(body) + 1))[:size], rate=rate)
    return files.url(name), served


def has_bytes(stack: Stack, job_id: str, at_least: int) -> bool:
    progress = stack.job(job_id)["progress"]
    return bool(progress and progress["done"] >= at_least)


def test_a_download_is_told_live_and_ends_available(shared_stack: Stack, files: FileServer) -> None:
    model, _ = slow_model(files, size=8 << 20, rate=4 << 20)

    job_id = shared_stack.submit("model_download", model=model)
    with shared_stack.stream(f"/v1/jobs/{job_id}/stream") as events:
        told = list(events)

    kinds = [event["event"] for event in told]
    assert kinds[0] == "job"
    assert kinds[-1] == "end"
    assert "progress" in kinds
    assert told[-1]["data"]["state"] == "completed"
    artifact = shared_stack.artifact(model)
    assert artifact is not None
    assert artifact["status"] == "available"
    assert artifact["size"] == 8 << 20
    assert_told_once(shared_stack, job_id)


def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(
    shared_stack: Stack, files: FileServer
) -> None:
    model, _ = slow_model(files, size=8 << 20, rate=1 << 20)
    job_id = shared_stack.submit("model_download", model=model)
    with shared_stack.stream(f"/v1/jobs/{job_id}/stream") as events:
        first = next(event for event in events if event["event"] == "line")

    with shared_stack.stream(f"/v1/jobs/{job_id}/stream", last_event_id=first["id"]) as events:
        rest = list(events)
    with shared_stack.stream(f"/v1/jobs/{job_id}/stream", last_event_id=rest[-1]["id"]) as events:
        after_end = events.status

    assert all(event["id"] > first["id"] for event in rest if event["id"] is not None)
    lines = [event["data"]["seq"] for event in rest if event["event"] == "line"]
    assert lines == list(range(first["data"]["seq"] + 1, first["data"]["seq"] + 1 + len(lines)))
    assert rest[-1]["event"] == "end"
    assert after_end == 204


def test_a_cancel_closes_every_socket_before_it_is_acknowledged(
    shared_stack: Stack, files: FileServer
) -> None:
    model, _ = slow_model(files)
    job_id = shared_stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(shared_stack, job_id, 1 << 20), "the download runs")

    cancelled = shared_stack.request("DELETE", f"/v1/jobs/{job_id}")
    job = shared_stack.wait_state(job_id, "cancelled", within=5)

    assert cancelled.status_code == 202
    assert files.wait_until_idle(0.5)
    assert job["attempt"] == 1
    assert shared_stack.request("DELETE", f"/v1/jobs/{job_id}").status_code == 404
    assert_told_once(shared_stack, job_id)


def test_a_paused_download_goes_on_from_its_pieces(shared_stack: Stack, files: FileServer) -> None:
    model, served = slow_model(files, size=32 << 20)
    job_id = shared_stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(shared_stack, job_id, 8 << 20), "the download runs")

    paused = shared_stack.post(f"/v1/jobs/{job_id}/pauses")
    shared_stack.wait_state(job_id, "paused", within=5)
    served.rate = None
    again = shared_stack.post(f"/v1/jobs/{job_id}/pauses")
    resumed = shared_stack.post(f"/v1/jobs/{job_id}/resumptions")
    job = shared_stack.wait_state(job_id, "completed", within=20)

    assert (paused.status_code, again.status_code, resumed.status_code) == (202, 409, 202)
    assert job["attempt"] == 2
    assert job["losses"] == 0
    assert served.sent < (32 << 20) * 1.25
    assert_told_once(shared_stack, job_id)


def test_a_second_identical_download_is_the_first_one(shared_stack: Stack, files: FileServer) -> None:
    model, _ = slow_model(files)

    first = shared_stack.submit("model_download", model=model)
    second = shared_stack.submit("model_download", model=model)
    shared_stack.request("DELETE", f"/v1/jobs/{first}")

    assert first == second
    shared_stack.wait_state(first, "cancelled")


def test_a_message_that_comes_twice_is_one_claim(shared_stack: Stack, files: FileServer) -> None:
    from shared.broker import celery_app, ring
    from shared.routing import hive_queue

    model, served = slow_model(files, size=4 << 20, rate=1 << 20)
    port = (shared_stack.data_dir / "queen" / "broker" / "port").read_text()
    password = (shared_stack.data_dir / "queen" / "broker" / "password").read_text()
    app = celery_app("test", f"redis://queen:{password}@127.0.0.1:{port}/0")
    hive_id = shared_stack.workers()[0]["id"]

    job_id = shared_stack.submit("model_download", {"hive": hive_id}, model=model)
    for _ in range(5):
        ring(app, "model_download", hive_queue(hive_id), job_id, 1)
    job = shared_stack.wait_state(job_id, "completed")

    assert job["attempt"] == 1
    assert served.sent <= (4 << 20) + (1 << 16)
    assert_told_once(shared_stack, job_id)


@pytest.mark.parametrize("name", ["hive", "recorder", "web", "broker"])
def test_a_killed_process_loses_nothing(stack: Stack, files: FileServer, name: str) -> None:
    model, served = slow_model(files, size=48 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 8 << 20), "the download runs")

    old = stack.kill(name)
    stack.wait_restarted(name, old)
    job = stack.wait_state(job_id, "completed", within=60)

    assert job["attempt"] == (2 if name == "hive" else 1)
    assert job["losses"] == (1 if name == "hive" else 0)
    assert served.sent < (48 << 20) + 8 * (5 << 20)
    assert_told_once(stack, job_id)
    artifact = stack.artifact(model)
    assert artifact is not None
    assert artifact["status"] == "available"


def test_a_power_cut_loses_nothing(stack: Stack, files: FileServer) -> None:
    model, served = slow_model(files, size=48 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 8 << 20), "the download runs")

    stack.power_cut()
    stack.start()
    job = stack.wait_state(job_id, "completed", within=60)

    assert job["attempt"] == 2
    assert served.sent < (48 << 20) + 8 * (5 << 20)
    assert_told_once(stack, job_id)


def test_sigterm_hands_the_job_back_within_ten_seconds(stack: Stack, files: FileServer) -> None:
    model, _ = slow_model(files, size=48 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 4 << 20), "the download runs")

    begun = time.monotonic()
    old = stack.kill("hive", signal.SIGTERM)
    released = stack.wait_state(job_id, "queued", within=10)
    took = time.monotonic() - begun
    stack.wait_restarted("hive", old)
    job = stack.wait_state(job_id, "completed", within=60)

    assert released["attempt"] == 2
    assert took < 10
    assert job["losses"] == 0
    assert_told_once(stack, job_id)


def test_an_emptied_broker_loses_no_job_and_no_line(stack: Stack, files: FileServer) -> None:
    from redis import Redis

    model, _ = slow_model(files, size=32 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 4 << 20), "the download runs")
    broker = stack.data_dir / "queen" / "broker"
    client = Redis(
        port=int((broker / "port").read_text()), username="queen", password=(broker / "password").read_text()
    )

    stopping = threading.Event()

    def empty() -> None:
        while not stopping.wait(0.02):
            client.flushall()

    emptier = threading.Thread(target=empty)
    emptier.start()
    stack.wait_state(job_id, "completed")
    later = stack.submit("model_download", model=model)
    stopping.set()
    emptier.join()
    client.close()

    assert_told_once(stack, job_id)
    stack.wait_state(later, "completed", within=60)
    assert_told_once(stack, later)


def test_a_token_in_an_address_is_told_to_nobody(shared_stack: Stack, files: FileServer) -> None:
    secret = "s3cr3t-t0ken-of-mine"
    model, served = slow_model(files, "signed.gguf", 1 << 16, rate=None)

    job = shared_stack.wait_state(
        shared_stack.submit("model_download", model=f"{model}?token={secret}"), "completed"
    )
    failed = shared_stack.wait_state(
        shared_stack.submit("model_download", model=f"{files.url('absent.gguf')}?token={secret}"), "failed"
    )

    assert secret in served.requests[0].path
    told = [shared_stack.request("GET", f"/v1/jobs/{one['id']}/log").text for one in (job, failed)]
    told += [str(shared_stack.narration(one["id"])) for one in (job, failed)]
    assert secret not in str([job, failed, told])
