"""Faults of hives and of the broker, and wishes that meet them: the job ends once, in the right state."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.test_first_slice import has_bytes, slow_model
from tests.hubs.file_server import Exchange, FileServer
from tests.stack import Stack, assert_told_once, wait_for


def signal_hive(stack: Stack, number: signal.Signals) -> None:
    """To the hive that was added last."""
    os.killpg(stack.hives[-1].process.pid, number)


def sockets_to(stack: Stack, files: FileServer) -> list[Any]:
    """Of the hive that was added last: a server whose client's window was shut hears of a hang-up only minutes later."""
    port = int(files.host.partition(":")[2])
    connections = psutil.Process(stack.hives[-1].process.pid).net_connections()
    return [one for one in connections if one.raddr and one.raddr.port == port]


def test_a_hive_that_comes_back_after_its_lease_changes_nothing(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    second = stack.add_hive(tmp_path / "second", "second", RBEE_CAPABILITIES="cuda")
    model, _ = slow_model(files, size=24 << 20)
    job_id = stack.submit("model_download", {"capability": "cuda"}, model=model)
    wait_for(lambda: has_bytes(stack, job_id, 2 << 20), "the download runs")
    assert stack.job(job_id)["hive_id"] == second

    signal_hive(stack, signal.SIGSTOP)
    third = stack.add_hive(tmp_path / "third", "third", RBEE_CAPABILITIES="cuda")
    taken_over = wait_for(lambda: (j := stack.job(job_id))["attempt"] == 2 and j, "the lease expires", 60)
    frozen = stack.hives[0]
    os.killpg(frozen.process.pid, signal.SIGCONT)
    job = stack.wait_state(job_id, "completed", within=60)

    assert taken_over["losses"] == 1
    assert job["hive_id"] == third
    assert job["attempt"] == 2
    assert_told_once(stack, job_id)
    held_by = {
        item["hive_id"] for item in stack.get("/v1/artifacts")["items"] if item["status"] == "available"
    }
    assert held_by == {third}


def test_a_cancel_of_a_hive_that_went_away_is_done_when_its_lease_ends(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    second = stack.add_hive(tmp_path / "second", "second")
    model, _ = slow_model(files)
    job_id = stack.submit("model_download", {"hive": second}, model=model)
    wait_for(lambda: has_bytes(stack, job_id, 2 << 20), "the download runs")

    signal_hive(stack, signal.SIGSTOP)
    stack.request("DELETE", f"/v1/jobs/{job_id}")
    waiting = stack.job(job_id)
    job = stack.wait_state(job_id, "cancelled", within=60)
    signal_hive(stack, signal.SIGCONT)
    wait_for(lambda: not sockets_to(stack, files), "the hive has hung up", 15)

    assert (waiting["state"], waiting["stopping"]) == ("running", "cancel")
    assert job["attempt"] == 1
    assert stack.job(job_id)["state"] == "cancelled"
    assert_told_once(stack, job_id)


def test_a_job_for_a_hive_that_is_off_waits_and_can_be_cancelled(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    second = stack.add_hive(tmp_path / "second", "second")
    stack.hives.pop().end()
    wait_for(lambda: not stack.get(f"/v1/hives/{second}")["online"], "the hive is offline", 30)
    model, served = slow_model(files)

    job_id = stack.submit("model_download", {"hive": second}, model=model)
    why = stack.get(f"/v1/jobs/{job_id}/why")
    cancelled = stack.request("DELETE", f"/v1/jobs/{job_id}").json()

    verdict = next(one for one in why["hives"] if one["hive_id"] == second)
    assert (why["choice"], verdict["filter"]) == (None, "online")
    assert cancelled["state"] == "cancelled"
    assert served.requests == []
    assert_told_once(stack, job_id)


def test_a_frozen_broker_delays_and_loses_nothing(stack: Stack, files: FileServer) -> None:
    model, _ = slow_model(files, size=32 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 4 << 20), "the download runs")

    broker = stack.kill("broker", signal.SIGSTOP)
    begun = time.monotonic()
    later = stack.submit("model_download", model=slow_model(files, "later.gguf", 1 << 20)[0])
    answered = time.monotonic() - begun
    stack.wait_state(later, "completed", within=40)
    os.kill(broker, signal.SIGCONT)
    stack.wait_state(job_id, "completed")

    assert answered < 2
    for ended in (job_id, later):
        assert_told_once(stack, ended)


def test_a_cancel_reaches_a_download_that_waits_to_try_again(shared_stack: Stack, files: FileServer) -> None:
    def busy(exchange: Exchange) -> bool:
        return exchange.reply(503, {"Retry-After": "120"})

    model, served = slow_model(files)
    served.hook = busy
    job_id = shared_stack.submit("model_download", model=model)
    wait_for(lambda: served.requests, "the server was asked")

    shared_stack.request("DELETE", f"/v1/jobs/{job_id}")

    shared_stack.wait_state(job_id, "cancelled", within=3)
    assert_told_once(shared_stack, job_id)


def test_a_killed_web_process_and_recorder_together_lose_nothing(stack: Stack, files: FileServer) -> None:
    model, _ = slow_model(files, size=32 << 20)
    job_id = stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(stack, job_id, 2 << 20), "the download runs")

    for name in ("web", "recorder"):
        stack.kill(name)
    job = stack.wait_state(job_id, "completed")

    assert (job["attempt"], job["losses"]) == (1, 0)
    assert_told_once(stack, job_id)


def test_a_second_process_with_the_same_identity_is_refused(stack: Stack, tmp_path: Path) -> None:
    import shutil

    from tests.stack import RBEE, ROOT

    stack.add_hive(tmp_path / "second", "second")
    shutil.copytree(tmp_path / "second", tmp_path / "copy")
    (tmp_path / "copy" / "hive" / "run" / "boot").write_text("boot-0000000000000000")
    env = {**stack.env, "RBEE_DATA_DIR": str(tmp_path / "copy")}

    twin = subprocess.run(
        [RBEE, "hive", "run"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=40, check=False
    )

    assert twin.returncode == 3
    assert "identity" in twin.stdout + twin.stderr
    assert stack.hives[-1].process.poll() is None


def test_removing_a_hive_fails_its_jobs_with_that_reason(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    second = stack.add_hive(tmp_path / "second", "second")
    model, _ = slow_model(files)
    job_id = stack.submit("model_download", {"hive": second}, model=model)
    wait_for(lambda: has_bytes(stack, job_id, 2 << 20), "the download runs")

    removed = stack.request("DELETE", f"/v1/hives/{second}")
    job = stack.wait_state(job_id, "failed", within=5)
    stack.hives.pop().process.wait(20)

    assert removed.status_code == 204
    assert job["error"]["code"] == "hive_removed"
    assert files.wait_until_idle(5)
    assert [hive["id"] for hive in stack.workers()] != [second]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of its own needs root")
def test_a_full_disk_fails_one_job_and_no_other(stack: Stack, files: FileServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(small)], check=True)
    try:
        second = stack.add_hive(small / "data", "small")
        fits, _ = slow_model(files, "fits.gguf", 8 << 20)
        too_big, served = slow_model(files, "big.gguf", 128 << 20, rate=None)
        fitting = stack.submit("model_download", {"hive": second}, model=fits)
        wait_for(lambda: has_bytes(stack, fitting, 1 << 16), "the small download runs")

        failing = stack.submit("model_download", {"hive": second}, model=too_big)
        failed = stack.wait_state(failing, "failed")
        completed = stack.wait_state(fitting, "completed")

        assert failed["error"]["code"] == "disk_full"
        assert completed["state"] == "completed"
        assert served.sent < 128 << 20
        stack.hives.pop().end()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of its own needs root")
def test_a_disk_that_somebody_else_fills_ends_the_job_and_its_story(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(small)], check=True)
    try:
        second = stack.add_hive(small / "data", "small")
        model, served = slow_model(files, "m.gguf", 24 << 20)
        job_id = stack.submit("model_download", {"hive": second}, model=model)
        wait_for(lambda: has_bytes(stack, job_id, 4 << 20), "the download runs")

        with (small / "somebody-elses").open("wb") as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1 << 16))
                filler.flush()
        served.rate = None
        job = stack.wait_state(job_id, "completed", "failed", within=30)

        assert job["attempt"] == 1
        if job["state"] == "failed":
            assert job["error"]["code"] == "disk_full"
        assert_told_once(stack, job_id)
        stack.hives.pop().end()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
