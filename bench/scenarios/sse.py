"""500 readers of one stream at 10 events a second: rbee, Flask-SSE as published (gevent, gthread), nginx with nchan."""

import http.client
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import published_sse
from bench.broker import broker
from bench.child import Child
from bench.context import Context
from bench.nginx import Nginx, nchan_module
from bench.processes import cpu_seconds, end, pss
from bench.quantiles import milliseconds, percentile
from bench.report import Outcome
from bench.sampling import Sampler
from bench.stand_in import StandIn
from tests.stack import ROOT, Stack, free_port, wait_for

RATE = 10.0
"""Events a second, to everybody."""
VISITS = 5.0
"""Other pages a second."""
KIB = 1024


@dataclass(frozen=True)
class Server:
    """One way to serve streams: where, how an event is published, and which processes do it."""

    port: int
    stream: str
    pages: list[str]
    headers: dict[str, str]
    publish: Callable[[str], Any]
    pid: int
    others: dict[str, int]
    """Further processes whose CPU belongs to it."""


def run(context: Context) -> Outcome:
    readers, seconds = context.count(500, 50), context.count(20, 4)
    found: dict[str, dict[str, Any]] = {}
    with rbee(context) as server:
        found["rbee"] = measure(context, "rbee", server, readers, seconds)
    for worker in ("gevent", "gthread"):
        extra = gevent_folder(context) if worker == "gevent" else None
        with flask_sse(context, worker, extra) as server:
            found[f"flask-sse, {worker}"] = measure(context, f"flask-sse, {worker}", server, readers, seconds)
    outcome = Outcome()
    if module := nchan_module():
        with nchan(context, module) as server:
            found["nginx + nchan"] = measure(context, "nginx + nchan", server, readers, seconds)
    else:
        outcome.notes.append("nginx + nchan is skipped: the module is not on this machine.")
    ours = found["rbee"]
    outcome.at_most(
        "events not delivered",
        ours["expected"] - ours["delivered"],
        0,
        "",
        against=f"of {ours['expected']}",
        digits=0,
    )
    outcome.at_most("delay, p99", ours["p99"] * 1000, 250, "ms", digits=0)
    outcome.at_most("other pages meanwhile, p95", percentile(ours["pages"], 0.95) * 1000, 100, "ms", digits=0)
    for name, one in found.items():
        tell(outcome, name, one)
    outcome.notes += [
        f"{readers} readers, {RATE:.0f} events/s for {seconds} s. rbee's events are narration of a stand-in hive: stream, "
        "recorder, row, pub/sub, web; the others publish straight to the channel and keep nothing.",
        f"Other pages, {VISITS:.0f} a second: rbee hives, jobs and a job as JSON; flask-sse a view that answers one word; "
        "nginx a static answer.",
        "Flask-SSE answers a reader with the first event only, so everybody is sent some unmeasured ones while readers connect.",
        "Memory a reader: PSS of the serving processes with all readers less that with none.",
    ]
    outcome.raw |= found
    return outcome


def tell(outcome: Outcome, name: str, one: dict[str, Any]) -> None:
    delays = " / ".join(
        "-" if one[key] is None else f"{one[key] * 1000:.0f}" for key in ("p50", "p95", "p99", "worst")
    )
    outcome.state(
        "delivered", f"{one['delivered'] / one['expected']:.2%} to {one['open']} readers", against=name
    )
    outcome.state("delay p50 / p95 / p99 / worst", f"{delays} ms", against=name)
    outcome.state("other pages p50 / p95 / p99 / worst", milliseconds(one["pages"]), against=name)
    outcome.state("memory a reader", f"{one['memory_a_reader'] / KIB:.1f} KiB", against=name)
    cpu = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in one["cpu"].items())
    outcome.state(f"CPU in {one['seconds']:.0f} s", cpu, against=name)


def measure(context: Context, name: str, server: Server, count: int, seconds: float) -> dict[str, Any]:
    target = {"host": "127.0.0.1", "port": server.port, "headers": server.headers}
    with Child("bench.visits", target | {"paths": server.pages, "rate": VISITS}) as visitor:
        time.sleep(2)
        visitor.ask(None)
        empty = pss(server.pid)
        with Child("bench.readers", target | {"path": server.stream, "count": count}) as readers:
            with Sampler(lambda: server.publish("Good morning."), every=0.3):
                opened = readers.hear()["open"]
            time.sleep(1)
            visitor.ask(None)
            pids = {"serving": server.pid, **server.others}
            before = {part: cpu_seconds(pid) for part, pid in pids.items()}
            start = time.perf_counter()
            events = _publish(server, seconds)
            full = pss(server.pid)
            pages = visitor.ask(None)
            took = time.perf_counter() - start
            cpu = {part: cpu_seconds(pid) - before[part] for part, pid in pids.items()}
            time.sleep(3)
            found = readers.ask(None)
    context.say(f"{name}: {found['delivered']} of {events * count} delivered, p99 {found['p99']} s")
    return {
        **found,
        "open": opened,
        "expected": events * count,
        "events": events,
        "seconds": took,
        "pages": pages["seconds"],
        "pages_failed": pages["failed"],
        "pss_empty": empty,
        "pss_full": full,
        "memory_a_reader": (full - empty) / count,
        "cpu": cpu,
    }


def _publish(server: Server, seconds: float) -> int:
    """At an even pace; returns how many."""
    due, until, number = time.monotonic(), time.monotonic() + seconds, 0
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        server.publish(f"Event {number} @{time.time():.6f}@")
        due += 1 / RATE
        number += 1
    return number


@contextmanager
def rbee(context: Context) -> Iterator[Server]:
    with Stack(context.folder / "stack") as stack:
        stand_in = StandIn(stack, "stand-in")
        job_id = stand_in.take_download("https://models.example/m.gguf")
        stand_in.say("The first line.")
        wait_for(
            lambda: "first line" in stack.request("GET", f"/v1/jobs/{job_id}/log").text,
            "the recorder reads its stream",
        )
        headers = {"Authorization": f"Bearer {stack.token}"}
        beat_at = time.monotonic()

        def publish(text: str) -> None:
            nonlocal beat_at
            stand_in.say(text)
            if time.monotonic() - beat_at > 5:
                beat_at = time.monotonic()
                stand_in.beat()

        others = {name: stack.pid(name) for name in ("recorder", "broker")}
        pages = ["/v1/hives", "/v1/jobs?limit=20", f"/v1/jobs/{job_id}"]
        yield Server(stack.port, "/v1/events", pages, headers, publish, stack.pid("web"), others)
        stand_in.close()


@contextmanager
def flask_sse(context: Context, worker: str, extra: Path | None) -> Iterator[Server]:
    """Served by gunicorn with as many threads, or greenlets, as rbee has threads."""
    with broker(context.folder / f"broker-{worker}") as served:
        port = free_port()
        path = os.pathsep.join([str(ROOT), *([str(extra)] if extra else [])])
        env = {**os.environ, published_sse.URL: served.url, "PYTHONPATH": path}
        argv = [sys.executable, "-m", "gunicorn", "-k", worker, "-w", "1", "-b", f"127.0.0.1:{port}"]
        argv += ["--threads", "600"] if worker == "gthread" else []
        argv += ["--worker-connections", "2000", "--no-control-socket", "bench.published_sse:app"]
        serving = subprocess.Popen(
            argv, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: _answers(port, "/page"), "gunicorn answers")
            published_sse.app.config["REDIS_URL"] = served.url

            def publish(text: str) -> None:
                with published_sse.app.app_context():
                    published_sse.sse.publish({"text": text}, type="line")

            yield Server(port, "/stream", ["/page"], {}, publish, serving.pid, {"broker": served.pid})
        finally:
            end(serving)


@contextmanager
def nchan(context: Context, module: Path) -> Iterator[Server]:
    servers = """server {
        listen 127.0.0.1:{port};
        location /page { return 200 'small'; }
        location /publish { nchan_publisher; nchan_channel_id bench; }
        location /stream { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
    }"""
    with Nginx(context.folder / "nchan", servers, modules=(module,)) as nginx:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)

        def publish(text: str) -> None:
            connection.request("POST", "/publish", text)
            connection.getresponse().read()

        yield Server(nginx.port, "/stream", ["/page"], {}, publish, nginx.pid, {})
        connection.close()


def gevent_folder(context: Context) -> Path | None:
    """gevent, where the environment lacks it: in a folder of the bench's own."""
    if importlib.util.find_spec("gevent"):
        return None
    folder = context.folder / "gevent"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "gevent>=26.9"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return folder


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
