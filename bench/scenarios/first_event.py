"""From the POST until the first event that the hive itself sent reaches a reader; beside it Celery's publish to task start."""

import random
import threading
import time

from bench import tiny_models
from bench.contest import wait_end
from bench.context import Context
from bench.follower import Follower
from bench.quantiles import milliseconds, percentile
from bench.raw_celery import RawCelery
from bench.report import Outcome
from queen.broker_server import broker_url
from queen.settings import QueenSettings
from tests.stack import Stack

MODELS = 10


class FirstLine:
    """When the first line of the job that is waited for arrived."""

    def __init__(self) -> None:
        self._job = b""
        self._at = 0.0
        self._early: dict[bytes, float] = {}
        self._lock = threading.Condition()

    def hear(self, kind: bytes, data: bytes, at: float) -> None:
        if kind != b"line":
            return
        job = data.split(b'"job_id":"', 1)[1].split(b'"', 1)[0]
        with self._lock:
            self._early.setdefault(job, at)
            self._lock.notify_all()

    def of(self, job_id: str) -> float:
        with self._lock:
            assert self._lock.wait_for(lambda: job_id.encode() in self._early, 30), "no line came"
            return self._early[job_id.encode()]


def run(context: Context) -> Outcome:
    rounds = context.rounds_or(200, 20)
    rbee: list[float] = []
    raw: dict[str, list[float]] = {"plain": [], "lean": []}
    stack = Stack(context.folder / "stack")
    tiny_models.lay(stack.data_dir / "hive", MODELS)
    with stack:
        url = broker_url(QueenSettings(data_dir=stack.data_dir))
        hive = stack.workers()[0]["id"]
        first = FirstLine()
        with (
            RawCelery("plain", url) as plain,
            RawCelery("lean", url) as lean,
            Follower(f"{stack.url}/v1/events", stack.token, first.hear),
        ):
            for number in range(-5, rounds):
                time.sleep(random.uniform(0.0, 0.1))
                start = time.perf_counter()
                job_id = stack.submit("model_verify", {"hive": hive}, model=tiny_models.name(number % MODELS))
                took = first.of(job_id) - start
                wait_end(stack, job_id)
                delays = {"plain": plain.start_delay(), "lean": lean.start_delay()}
                if number >= 0:
                    rbee.append(took)
                    for name, delay in delays.items():
                        raw[name].append(delay)
    outcome = Outcome()
    outcome.state(
        "POST until the hive's first event is pushed, p50", f"{percentile(rbee, 0.5) * 1000:.0f} ms"
    )
    outcome.at_most(
        "POST until the hive's first event is pushed, p95", percentile(rbee, 0.95) * 1000, 250, "ms", digits=0
    )
    outcome.state("the same, p50 / p95 / p99 / worst", milliseconds(rbee))
    outcome.state(
        "publish until the task starts",
        milliseconds(raw["plain"]),
        against="Celery as it comes, threads, same broker",
    )
    outcome.state(
        "publish until the task starts",
        milliseconds(raw["lean"]),
        against="Celery with rbee's transport settings",
    )
    outcome.notes.append(
        f"{rounds} jobs one after another, each after a random pause of up to 0.1 s; two unused Celery workers idle beside each."
    )
    outcome.raw |= {"rbee_s": rbee, "celery_s": raw}
    return outcome
