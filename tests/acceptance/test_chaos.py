"""Processes die at random while many jobs run. Each job ends once, whole, and told without gap or repeat."""

import os
import random

from tests.acceptance.test_first_slice import slow_model
from tests.hubs.file_server import FileServer
from tests.stack import Stack, assert_told_once, wait_for

JOBS = 10
KILLS = ["web", "recorder", "hive", "broker", "web", "recorder", "broker", "hive", "web", "recorder"]


def test_random_deaths_lose_nothing(stack: Stack, files: FileServer) -> None:
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    chance = random.Random(seed)
    models = [slow_model(files, f"{number}.gguf", 4 << 20, rate=1 << 18) for number in range(JOBS)]
    jobs = [stack.submit("model_download", model=model) for model, _ in models]

    for name in chance.sample(KILLS, len(KILLS)):
        old = stack.kill(name)
        if chance.random() < 0.5:
            stack.wait_restarted(name, old)
        else:
            wait_for(lambda: stack.request("GET", "/health").ok, "the queen answers")
            stack.wait_restarted(name, old)
    ended = [stack.wait_state(job, "completed", "failed", within=120) for job in jobs]

    assert [job["state"] for job in ended] == ["completed"] * JOBS
    for job in jobs:
        assert_told_once(stack, job)
    assert all(job["losses"] <= 2 for job in ended)
    held = [item for item in stack.get("/v1/artifacts")["items"] if item["status"] == "available"]
    assert {item["id"] for item in held} == {model for model, _ in models}
    assert all(served.sent <= (4 << 20) * 2 for _, served in models)
