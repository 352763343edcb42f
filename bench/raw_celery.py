"""Celery without rbee: a worker with two tasks, and the publisher's side.

`plain` is Celery as it comes, with the threads pool; `lean` has rbee's own settings of the transport (`shared/broker.py`).

    BENCH_BROKER_URL=redis://… python -m bench.raw_celery plain
"""

import os
import subprocess
import sys
import threading
import time
from typing import Self

from celery import Celery
from kombu import Queue
from redis import Redis

from bench.processes import end
from shared.broker import celery_app, consumer_queues
from shared.operations import LANE_WIDTHS
from tests.stack import ROOT

URL = "BENCH_BROKER_URL"
QUEUE = "bench.raw"
STARTED = "bench:started"
DONE = "bench:done"
THREADS = sum(LANE_WIDTHS.values()) + 2
"""As many as a hive has."""


def application(mode: str, url: str, *, consumes: bool = False) -> Celery:
    if mode == "lean":
        app = celery_app("bench", url, hive_id="bench" if consumes else None)
        app.conf.task_queues = consumer_queues([QUEUE])
    else:
        app = Celery("bench", broker=url, set_as_current=False)
        app.conf.update(task_ignore_result=True, task_queues=[Queue(QUEUE)], worker_hijack_root_logger=False)
    return app


def main() -> None:
    mode, url = sys.argv[1], os.environ.pop(URL)
    app = application(mode, url, consumes=True)
    redis = Redis.from_url(url)
    lock = threading.Lock()
    left: dict[str, int] = {}

    @app.task(name="bench.stamp")
    def stamp() -> None:
        now = time.time()
        redis.rpush(STARTED, repr(now))

    @app.task(name="bench.noop")
    def noop(batch: str, size: int) -> None:
        with lock:
            left[batch] = left.get(batch, size) - 1
            last = left[batch] == 0
        if last:
            redis.rpush(DONE, batch)

    worker = app.Worker(
        pool="threads",
        concurrency=THREADS,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        loglevel="ERROR",
        quiet=True,
    )
    worker.start()


class RawCelery:
    """Such a worker, running; `publish` is thread-safe."""

    def __init__(self, mode: str, url: str) -> None:
        self._mode, self._url = mode, url
        self.redis = Redis.from_url(url)

    def __enter__(self) -> Self:
        self.redis.delete(STARTED, DONE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.raw_celery", self._mode],
            env={**os.environ, URL: self._url, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._app = application(self._mode, self._url)
        self.start_delay()
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)
        self.redis.delete(STARTED, DONE, QUEUE)
        self.redis.close()

    def publish(self, task: str, *args: object) -> None:
        queue = consumer_queues([QUEUE])[0] if self._mode == "lean" else QUEUE
        self._app.send_task(task, args=args, queue=queue)

    def start_delay(self) -> float:
        """Seconds from before the publish until the task's first statement."""
        start = time.time()
        self.publish("bench.stamp")
        answer = self.redis.blpop([STARTED], timeout=30)
        if answer is None:
            raise RuntimeError("the Celery worker does not work")
        return float(answer[1]) - start

    def wait_done(self, batch: str) -> None:
        answer = self.redis.blpop([DONE], timeout=120)
        if answer is None or answer[1].decode() != batch:
            raise RuntimeError("the Celery worker did not finish")


if __name__ == "__main__":
    main()
