"""1,000 jobs that do nothing, through the API, claim, narration and end; beside them 1,000 tasks of raw Celery."""

import http.client
import json
import threading
import time
from collections.abc import Callable

from bench import tiny_models
from bench.context import Context
from bench.follower import Follower
from bench.processes import NAMES, StackMeter, cpu_seconds
from bench.quantiles import median
from bench.raw_celery import RawCelery
from bench.report import Outcome
from queen.broker_server import broker_url
from queen.settings import QueenSettings
from tests.stack import Stack, wait_for

SUBMITTERS = 4
COUNTED = ("web", "recorder", "hive", "broker")


def run(context: Context) -> Outcome:
    count, rounds = context.count(1000, 100), context.rounds or 3
    if context.quick:
        rounds = 1
    rbee: list[dict[str, float]] = []
    raw: dict[str, list[dict[str, float]]] = {"plain": [], "lean": []}
    stack = Stack(context.folder / "stack")
    tiny_models.lay(stack.data_dir / "hive", count)
    with stack:
        url = broker_url(QueenSettings(data_dir=stack.data_dir))
        wait_for(lambda: len(stack.workers()[0]["artifacts"]) == count, "the models are known")
        for number in range(rounds):
            rbee.append(_rbee(stack, count))
            for mode, measured in raw.items():
                measured.append(_celery(stack, mode, url, count))
            last = ", ".join(f"{mode} {measured[-1]['wall']:.2f} s" for mode, measured in raw.items())
            context.say(f"round {number + 1} of {rounds}: rbee {rbee[-1]['wall']:.1f} s, celery {last}")
    outcome = Outcome()
    for mode, words in (
        ("plain", "Celery as it comes, threads"),
        ("lean", "Celery with rbee's transport settings"),
    ):
        ratios = [theirs["wall"] / ours["wall"] for ours, theirs in zip(rbee, raw[mode], strict=True)]
        if mode == "plain":
            outcome.at_least("jobs a second, ratio", median(ratios), 0.1, "×", against=words, digits=3)
        else:
            outcome.state("jobs a second, ratio", f"{median(ratios):.3f} ×", against=words)
    per_job = {name: median([one[name] for one in rbee]) / count * 1000 for name in NAMES}
    total = median([sum(one[name] for name in COUNTED) for one in rbee]) / count * 1000
    outcome.at_most("CPU a job, web + recorder + hive + broker", total, 15, "ms")
    for name, spent in per_job.items():
        outcome.state(f"CPU a job of {name}", f"{spent:.2f} ms")
    outcome.state("rate", f"{count / median([one['wall'] for one in rbee]):.0f} jobs/s")
    outcome.state("POSTs taken", f"{count / median([one['posted'] for one in rbee]):.0f} a second")
    for mode, measured in raw.items():
        rate = count / median([one["wall"] for one in measured])
        cpu = median([one["cpu"] for one in measured]) / count * 1000
        outcome.state(
            "rate", f"{rate:.0f} tasks/s, {cpu:.2f} ms CPU of worker + broker", against=f"Celery, {mode}"
        )
    outcome.notes.append(
        f"{count} `model_verify` of one-byte models on one hive, {SUBMITTERS} submitters, until the last `end` reached a reader; "
        "Celery: as many submitters, until the last task ran."
    )
    outcome.raw |= {"rbee": rbee, "celery": raw}
    return outcome


def _rbee(stack: Stack, count: int) -> dict[str, float]:
    ended = threading.Semaphore(0)
    states: dict[str, int] = {}

    def hear(kind: bytes, data: bytes, _at: float) -> None:
        if kind == b"end":
            state = json.loads(data)["state"]
            states[state] = states.get(state, 0) + 1
            ended.release()

    hive = stack.workers()[0]["id"]
    with Follower(f"{stack.url}/v1/events", stack.token, hear):
        meter = StackMeter(stack)
        _in_threads(count, lambda numbers: _submit(stack, hive, numbers))
        posted = meter.wall
        for _ in range(count):
            assert ended.acquire(timeout=300), f"jobs do not end: {states}"
        measured = {"wall": meter.wall, "posted": posted, **meter.read()}
    assert states == {"completed": count}, states
    return measured


def _submit(stack: Stack, hive: str, numbers: range) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    headers = {"Authorization": f"Bearer {stack.token}", "Content-Type": "application/json"}
    for number in numbers:
        body = {"operation": "model_verify", "model": tiny_models.name(number), "target": {"hive": hive}}
        connection.request("POST", "/v1/jobs", json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 202, answer
    connection.close()


def _celery(stack: Stack, mode: str, url: str, count: int) -> dict[str, float]:
    batch = f"{mode}-{time.monotonic_ns()}"
    with RawCelery(mode, url) as celery:
        pids = [celery.process.pid, stack.pid("broker")]
        before = sum(map(cpu_seconds, pids))
        start = time.perf_counter()
        _in_threads(count, lambda numbers: [celery.publish("bench.noop", batch, count) for _ in numbers])
        celery.wait_done(batch)
        return {"wall": time.perf_counter() - start, "cpu": sum(map(cpu_seconds, pids)) - before}


def _in_threads(count: int, work: Callable[[range], object]) -> None:
    threads = [
        threading.Thread(target=work, args=(range(number, count, SUBMITTERS),))
        for number in range(SUBMITTERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
