"""Where jobs run and what they wait for: lanes, exclusive resources, capabilities, every hive."""

from pathlib import Path

from tests.acceptance.test_first_slice import has_bytes, slow_model
from tests.hubs.file_server import FileServer
from tests.stack import Stack, assert_told_once, wait_for


def test_four_downloads_run_at_once_and_delay_nothing_else(shared_stack: Stack, files: FileServer) -> None:
    ready, _ = slow_model(files, "ready.gguf", 1 << 20, rate=None)
    shared_stack.wait_state(shared_stack.submit("model_download", model=ready), "completed")
    models = [slow_model(files, f"{number}.gguf", 64 << 20, rate=1 << 18)[0] for number in range(6)]

    jobs = [shared_stack.submit("model_download", model=model) for model in models]
    wait_for(lambda: sum(has_bytes(shared_stack, job, 1) for job in jobs) == 4, "four run")
    verified = shared_stack.wait_state(
        shared_stack.submit("model_verify", model=ready), "completed", within=10
    )
    states = [shared_stack.job(job)["state"] for job in jobs]
    shared_stack.request("DELETE", f"/v1/jobs/{jobs[0]}")
    wait_for(lambda: has_bytes(shared_stack, jobs[4], 1), "the next one runs", 10)

    assert verified["state"] == "completed"
    assert states == ["running"] * 4 + ["queued"] * 2
    for job in jobs[1:]:
        shared_stack.request("DELETE", f"/v1/jobs/{job}")
    for job in jobs:
        shared_stack.wait_state(job, "cancelled", within=10)


def test_jobs_on_one_model_wait_for_each_other(shared_stack: Stack, files: FileServer) -> None:
    model, served = slow_model(files, "one.gguf", 8 << 20, rate=1 << 19)
    download = shared_stack.submit("model_download", model=model)
    wait_for(lambda: has_bytes(shared_stack, download, 1), "the download runs")

    verify = shared_stack.submit("model_verify", model=model)
    delete = shared_stack.submit("model_delete", model=model)
    waiting = shared_stack.job(verify)["state"], shared_stack.job(delete)["state"]
    served.rate = None
    ended = [shared_stack.wait_state(job, "completed", within=20) for job in (download, verify, delete)]

    assert waiting == ("queued", "queued")
    starts = [job["started_at"] for job in ended]
    ends = [job["finished_at"] for job in ended]
    assert ends[0] <= starts[1]
    assert ends[1] <= starts[2]
    assert shared_stack.artifact(model) is None


def test_a_job_for_a_capability_nobody_has_waits_for_the_first_that_comes(
    stack: Stack, files: FileServer, tmp_path: Path
) -> None:
    model, _ = slow_model(files, size=1 << 20, rate=None)
    job_id = stack.submit("model_download", {"capability": "metal"}, model=model)
    waiting = stack.job(job_id)
    why = stack.get(f"/v1/jobs/{job_id}/why")

    second = stack.add_hive(tmp_path / "second", "second", RBEE_CAPABILITIES="metal,cpu")
    job = stack.wait_state(job_id, "completed", within=30)

    assert waiting["state"] == "queued"
    assert waiting["hive_id"] is None
    assert {one["filter"] for one in why["hives"]} == {"capability", "kind"}
    assert job["hive_id"] == second
    assert_told_once(stack, job_id)


def test_a_job_for_all_hives_is_one_job_each(stack: Stack, files: FileServer, tmp_path: Path) -> None:
    second = stack.add_hive(tmp_path / "second", "second")
    model, _ = slow_model(files, size=4 << 20, rate=1 << 20)

    parent_id = stack.submit("model_download", {"all": True}, model=model)
    with stack.stream(f"/v1/jobs/{parent_id}/stream") as events:
        told = list(events)
    parent = stack.job(parent_id)

    assert parent["state"] == "completed"
    assert {child["hive_id"] for child in parent["children"]} == {hive["id"] for hive in stack.workers()}
    assert second in {child["hive_id"] for child in parent["children"]}
    assert [event["event"] for event in told].count("end") == 1
    lines = {event["data"]["job_id"] for event in told if event["event"] == "line"}
    assert lines == {child["id"] for child in parent["children"]}


def test_cancelling_a_job_for_all_hives_cancels_each(stack: Stack, files: FileServer, tmp_path: Path) -> None:
    stack.add_hive(tmp_path / "second", "second")
    model, _ = slow_model(files)
    parent_id = stack.submit("model_download", {"all": True}, model=model)
    wait_for(lambda: stack.job(parent_id)["state"] == "running", "a child runs")

    stack.request("DELETE", f"/v1/jobs/{parent_id}")
    parent = stack.wait_state(parent_id, "cancelled", within=10)

    assert [child["state"] for child in parent["children"]] == ["cancelled", "cancelled"]
    assert files.wait_until_idle(1)
    told = stack.narration(parent_id)
    last_words = [event["data"]["job_id"] for event in told if "cancelled" in event["data"].get("text", "")]
    assert sorted(last_words) == sorted(child["id"] for child in parent["children"])
    assert stack.post(f"/v1/jobs/{parent_id}/retries").status_code == 202
    assert stack.job(parent_id)["state"] == "running"
    stack.request("DELETE", f"/v1/jobs/{parent_id}")
    stack.wait_state(parent_id, "cancelled", within=10)
