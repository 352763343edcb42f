"""The supervisor with real processes: a program of its own that runs small shell and Python programs."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from queen.console import Console, Lines
from queen.data_lock import locked
from shared.errors import Conflict

HARNESS = """
import json, sys
from pathlib import Path
import queen.supervisor
from queen.supervisor import Process, Supervisor

run_dir, kill_after, *programs = sys.argv[1:]
queen.supervisor.KILL_AFTER = float(kill_after)

def process(name, script, ready=None, log=None):
    check = Path(ready).exists if ready else None
    return Process(name, ["/bin/bash", "-c", script], ready=check, stop_seconds=5, log=log and Path(log))

supervisor = Supervisor([process(*json.loads(program)) for program in programs], Path(run_dir))
sys.exit(supervisor.run(lambda: print("ALL READY", flush=True)))
"""

WAIT = "trap 'echo ending; exit 0' TERM; sleep 600 & echo up $$; wait"
DEAF = "trap '' TERM; sleep 600 & echo up $$; wait"


class Up:
    """A running supervisor and what it printed."""

    def __init__(self, run_dir: Path, programs: list[tuple[str, ...]], kill_after: float = 8) -> None:
        self.run_dir = run_dir
        words = [str(run_dir), str(kill_after), *map(json.dumps, programs)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", HARNESS, *words], stdout=subprocess.PIPE, text=True
        )
        self.seen: list[str] = []

    def until(self, text: str) -> str:
        """Reads on to the line that holds `text`."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.seen.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError(f"never printed {text!r}: {self.seen}")

    def pid(self, name: str) -> int:
        return int(json.loads((self.run_dir / f"{name}.json").read_text())["pid"])

    def replace_guard(self) -> None:
        """Kills the guard and waits until there is another."""
        guard, *_ = self._guards()
        guard.kill()
        while not (fresh := self._guards()) or fresh == [guard]:
            time.sleep(0.01)

    def _guards(self) -> list[psutil.Process]:
        family = psutil.Process(self.process.pid).children()
        return [
            one
            for one in family
            if one.status() != psutil.STATUS_ZOMBIE and "rbee-guard" in str(one.cmdline())
        ]

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.process.send_signal(number)
        assert self.process.stdout
        self.seen += self.process.stdout.read().splitlines()
        return self.process.wait(15)


class Start(Protocol):
    def __call__(self, programs: list[tuple[str, ...]], kill_after: float = 8) -> Up: ...


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Start]:
    """Starts supervisors and leaves nothing of them."""
    started: list[Up] = []

    def start(programs: list[tuple[str, ...]], kill_after: float = 8) -> Up:
        started.append(Up(tmp_path / "run", programs, kill_after))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(one.process.pid).children(recursive=True):
                process.kill()
        one.process.kill()
        one.process.wait()
        assert one.process.stdout
        one.process.stdout.close()


def gone(pid: int) -> bool:
    """Whether the process ends within seconds."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.wait(5) is None
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False


def test_programs_start_in_order_once_the_one_before_is_ready_and_stop_in_reverse(
    up: Start, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    slow = f"sleep 0.2; echo opened; touch {flag}; {WAIT}"
    one = up([("broker", slow, str(flag)), ("web", WAIT), ("hive", WAIT)])
    one.until("ALL READY")
    one.until(" up ")
    one.until(" up ")
    pids = [one.pid(name) for name in ("broker", "web", "hive")]

    code = one.end(signal.SIGTERM)

    started = [line for line in one.seen if line.endswith("opened") or " up " in line]
    assert code == 0
    assert started[0] == "broker | opened"
    assert [line for line in one.seen if line.endswith("ending")] == [
        "hive   | ending",
        "web    | ending",
        "broker | ending",
    ]
    assert not any(map(psutil.pid_exists, pids))
    assert list((tmp_path / "run").iterdir()) == []


def test_its_records_name_the_programs_themselves(up: Start) -> None:
    one = up([("web", WAIT)])
    words = one.until("web  | up").split()

    assert one.pid("web") == int(words[-1])
    assert os.getpgid(one.pid("web")) == one.pid("web")
    assert one.pid("supervisor") == one.process.pid


def test_a_killed_program_is_started_again_and_what_it_left_is_not_kept(up: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"reason {number}" for number in range(9)))
    one = up([("web", f"sleep 600 & echo left $!; {WAIT}", "", str(log))])
    one.until("ALL READY")
    leftover = int(one.until("left").split()[-1])
    first = one.pid("web")

    os.kill(first, signal.SIGKILL)
    one.until("web ended (signal 9)")
    one.until("web starts again in 1 s")
    one.until("up")

    assert one.pid("web") != first
    assert gone(leftover)
    assert "web  | reason 8" in one.seen
    assert "web  | reason 3" not in one.seen


def test_a_program_that_never_gets_ready_ends_the_start(up: Start, tmp_path: Path) -> None:
    one = up(
        [("web", WAIT), ("hive", "echo no room; exit 3", str(tmp_path / "never")), ("last", "echo never")]
    )

    code = one.end()

    assert code == 1
    assert one.seen.count("hive | no room") == 3
    assert "rbee | hive starts again in 2 s" in one.seen
    assert one.seen[-2:] == [
        "rbee | hive ended 3 times before it was ready: see its lines above",
        "web  | ending",
    ]
    assert "ALL READY" not in one.seen


def test_what_does_not_end_in_time_is_killed(up: Start) -> None:
    one = up([("deaf", DEAF), ("web", WAIT)], kill_after=0.3)
    one.until(" up ")
    one.until(" up ")
    pid = one.pid("deaf")

    code = one.end(signal.SIGINT)

    assert code == 0
    assert "rbee | deaf does not end and is killed" in one.seen
    assert gone(pid)


def test_a_second_ctrl_c_kills_at_once(up: Start) -> None:
    one = up([("deaf", DEAF)], kill_after=600)
    one.until("deaf | up")
    pid = one.pid("deaf")

    one.process.send_signal(signal.SIGINT)
    one.until("once more kills at once")
    code = one.end(signal.SIGINT)

    assert code == 0
    assert gone(pid)


@pytest.mark.parametrize("guards", [1, 2], ids=["its guard", "a guard that was itself replaced"])
def test_nothing_survives_a_supervisor_that_is_killed(up: Start, guards: int) -> None:
    one = up([("deaf", DEAF), ("web", WAIT)])
    one.until(" up ")
    one.until(" up ")
    if guards == 2:
        one.replace_guard()
    family = psutil.Process(one.process.pid).children(recursive=True)

    one.process.kill()

    assert len(family) == 5
    assert all(gone(process.pid) for process in family)


def test_it_goes_on_when_nobody_reads_its_lines(up: Start) -> None:
    one = up([("web", f"trap 'exit 0' TERM; echo up; for i in $(seq 999); do echo $i; done; {WAIT}")])
    one.until("up")
    pid = one.pid("web")
    assert one.process.stdout

    one.process.stdout.close()
    one.process.send_signal(signal.SIGTERM)

    assert one.process.wait(10) == 0
    assert gone(pid)


def test_the_supervisor_loads_nothing_heavy() -> None:
    script = (
        "import sys, queen.supervisor, queen.procfile, queen.data_lock;"
        "print(sorted({'celery', 'flask', 'sqlalchemy', 'redis', 'pydantic', 'ctypes'} & set(sys.modules)))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout == "[]\n"


def test_a_second_one_on_the_same_data_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from queen.data_lock import locked\n"
        "with locked(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdin
    assert holder.stdout.readline() == "mine\n"

    with pytest.raises(Conflict, match=rf"already runs on this data folder \(process {holder.pid}\)"):
        with locked(tmp_path):
            pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()

    with locked(tmp_path):
        assert (tmp_path / "rbee.lock").read_text() == f"{os.getpid()}\n"


def test_lines_are_cut_where_they_end_and_very_long_ones_in_parts() -> None:
    lines = Lines()

    assert lines.feed(b"one\r\ntw") == ["one"]
    assert lines.feed(b"o\n\xff\n") == ["two", "\N{REPLACEMENT CHARACTER}"]
    assert lines.feed(b"x" * 70_000) == ["x" * 70_000]
    assert lines.feed(b"rest") == []
    assert lines.feed(b"") == ["rest"]
    assert lines.feed(b"") == []


def test_names_are_coloured_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()

    for stream in (terminal, file):
        Console(["web", "recorder"], stream).line("web", "hello")

    assert file.getvalue() == "web      | hello\n"
    assert terminal.getvalue() == "\x1b[36mweb      | \x1b[0mhello\n"
