"""A whole rbee, really running: `rbee up` on free ports and a data folder of its own, found and killed by process id."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
RBEE = Path(sys.executable).with_name("rbee")
PATIENCE = 60.0
"""Seconds after which a thing that should have happened counts as not happening."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """The first true value of `condition`, looked at twenty times a second: for facts that only other processes know."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"did not happen within {within:.0f} s: {what}"
        time.sleep(0.05)
    return value


class Program:
    """A child in a session of its own whose output is kept, line by line."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._closed = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            argv,
            env=env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_line(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """The first line that matches, past or future."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return bool(found) or self._closed

        with self._changed:
            self._changed.wait_for(look, within)
        assert found, f"no line like {pattern!r} in:\n" + "\n".join(self.lines[-40:])
        return found[0]

    def end(self, within: float = 12.0) -> int:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise
        self._reader.join(timeout=5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode


class Stack:
    """`rbee up`, and its API with the admin's token."""

    def __init__(self, folder: Path, *, certificate: Path | None = None, **env: str) -> None:
        self.data_dir = folder / "data"
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self.certificate = certificate
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RBEE_", "HF_"))}
        self.env = {
            **inherited,
            "RBEE_DATA_DIR": str(self.data_dir),
            "RBEE_PORT": str(self.port),
            "RBEE_CATALOG_PORT": "0",
            "RBEE_HTTP_HOSTS": "127.0.0.1",
            "RBEE_HIVE_NAME": "first",
            "PYTHONUNBUFFERED": "1",
            **env,
        }
        self.program: Program | None = None
        self.login_url = ""
        self.hives: list[Program] = []

    def __enter__(self) -> "Stack":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.hives:
            program.end()
        self.stop()

    def start(self) -> None:
        self.program = Program([str(RBEE), "up"], self.env)
        self.login_url = self.program.wait_line(r"(http\S+/login\?token=\S+)")[1]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(self.certificate) if self.certificate else True
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        wait_for(lambda: any(hive["online"] for hive in self.workers()), "the local hive is online")

    def stop(self) -> None:
        if self.program is not None:
            self.program.end()
            self.program = None

    def power_cut(self) -> None:
        """Every process of the stack at once, without a chance to say anything."""
        pids = [
            self.pid(path.stem)
            for path in (self.data_dir / "run").glob("*.json")
            if path.stem != "supervisor"
        ]
        assert self.program is not None
        os.kill(self.program.process.pid, signal.SIGKILL)
        for pid in pids:
            _kill_group(pid)
        self.program.end()
        self.program = None

    @property
    def token(self) -> str:
        return (self.data_dir / "queen" / "admin.token").read_text().strip()

    def pid(self, name: str) -> int:
        pid: int = json.loads((self.data_dir / "run" / f"{name}.json").read_text())["pid"]
        return pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals one process's group; KILL waits until it is gone. Returns its old id."""
        pid = self.pid(name)
        if number == signal.SIGKILL:
            _kill_group(pid)
        else:
            os.killpg(pid, number)
        return pid

    def wait_restarted(self, name: str, old_pid: int) -> None:
        def is_new() -> bool:
            try:
                return self.pid(name) != old_pid
            except (OSError, ValueError):
                return False

        wait_for(is_new, f"{name} is started again")

    def add_hive(self, folder: Path, name: str, **env: str) -> str:
        """Joins a second hive by token, runs it, waits until it is online, and returns its id."""
        settings = {**self.env, "RBEE_DATA_DIR": str(folder), "RBEE_HIVE_NAME": name, **env}
        token = self.post("/v1/join-tokens").json()["token"]
        joined = subprocess.run(
            [str(RBEE), "hive", "join", self.url, token],
            env=settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert joined.returncode == 0, joined.stdout + joined.stderr
        self.hives.append(Program([str(RBEE), "hive", "run"], settings))
        hive = wait_for(
            lambda: next((one for one in self.workers() if one["name"] == name and one["online"]), None),
            f"{name} is online",
        )
        return str(hive["id"])

    # The API.

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        """Tries again while the web process is down or starting, as any client would."""

        def attempt() -> list[requests.Response]:
            try:
                return [self.session.request(method, self.url + path, timeout=20, **more)]
            except requests.ConnectionError:
                return []

        response: requests.Response = wait_for(attempt, f"{method} {path} is answered")[0]
        return response

    def get(self, path: str) -> Any:
        response = self.request("GET", path)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.request("POST", path, json=body, **more)

    def submit(self, operation: str, target: dict[str, Any] | None = None, **params: Any) -> str:
        body = {"operation": operation, "target": target or {"capability": "cpu"}, **params}
        response = self.post("/v1/jobs", body, headers={"Idempotency-Key": secrets.token_hex(8)})
        assert response.status_code == 202, response.text
        job_id: str = response.json()["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/jobs/{job_id}")
        return found

    def wait_state(self, job_id: str, *states: str, within: float = PATIENCE) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in states else None

        found: dict[str, Any] = wait_for(
            reached, f"{job_id} is {' or '.join(states)}; it is {self.job(job_id)}", within
        )
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The hives proper."""
        return [hive for hive in self.get("/v1/hives")["items"] if hive["kind"] == "hive"]

    def artifact(self, model: str) -> dict[str, Any] | None:
        return next((item for item in self.get("/v1/artifacts")["items"] if item["id"] == model), None)

    @contextmanager
    def stream(self, path: str, last_event_id: int | None = None) -> Iterator["Events"]:
        headers = {"Last-Event-ID": str(last_event_id)} if last_event_id is not None else {}
        with self.session.get(
            self.url + path, stream=True, timeout=(5, PATIENCE), headers=headers
        ) as response:
            yield Events(response)

    def narration(self, job_id: str) -> list[dict[str, Any]]:
        """Everything the stream of a finished job replays: `{id, event, data}`."""
        with self.stream(f"/v1/jobs/{job_id}/stream") as events:
            return list(events)


class Events:
    """A text/event-stream, parsed; comments and retry are left out."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.status = response.status_code

    def __iter__(self) -> Iterator[dict[str, Any]]:
        event: dict[str, Any] = {}
        data: list[str] = []
        for raw in self.response.iter_lines(chunk_size=1, decode_unicode=False):
            line = raw.decode()
            if not line:
                if data:
                    yield {
                        "id": event.get("id"),
                        "event": event["event"],
                        "data": json.loads("\n".join(data)),
                    }
                event, data = {}, []
            elif line.startswith("data:"):
                data.append(line[5:].lstrip())
            elif not line.startswith(":"):
                field, _, value = line.partition(":")
                event[field] = int(value) if field == "id" else value.strip()


def assert_told_once(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    """The narration of an ended job has neither gap nor repeat in any attempt, and one `end`, last. Returns its lines."""
    wait_for(
        lambda: any(event["event"] == "end" for event in _until_end(stack, job_id)),
        f"{job_id} is told to its end",
        45,
    )
    events = _until_end(stack, job_id)
    ids = [event["id"] for event in events if event["id"] is not None]
    assert ids == sorted(set(ids))
    assert [event["event"] for event in events].count("end") == 1
    assert events[-1]["event"] == "end"
    assert events[-1]["data"]["state"] == stack.job(job_id)["state"]
    lines = [event["data"] for event in events if event["event"] in {"line", "log", "data"}]
    for attempt in {line["attempt"] for line in lines}:
        seqs = [line["seq"] for line in lines if line["attempt"] == attempt]
        assert seqs == list(range(1, len(seqs) + 1)), f"attempt {attempt}: {seqs}"
    return lines


def _until_end(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    found = []
    with stack.stream(f"/v1/jobs/{job_id}/stream") as events:
        for event in events:
            found.append(event)
            if event["event"] == "end":
                break
    return found


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for(lambda: not _alive(pid), f"process {pid} is gone", 10)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
