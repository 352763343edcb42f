"""Keeps the programs of one machine running: what `rbee up` does once everything is prepared.

They are started in order, each when the one before it is ready. One that ends is started again, after 1 s,
2 s … 30 s. SIGINT, SIGTERM and SIGHUP stop them in reverse order, so that a hive can still report to its
queen; 8 s later whatever is left is killed, and a second signal kills at once. If this process itself is
killed, so are they (`queen/group_guard.py`). One thread that sleeps until a line, a signal or a date wakes it.

    <run_dir>/<name>.json   {"pid": …, "started": …}   while that program runs; also supervisor.json
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from queen.child import Child, Process
from queen.console import Console
from queen.group_guard import GroupGuard
from queen.ports import port_open

__all__ = ["Process", "Supervisor", "port_open"]

KILL_AFTER = 8.0
"""Seconds from the first signal until what still runs is killed."""
GONE_AFTER = 1.5
"""Seconds that killed processes get to disappear."""
READY_WITHIN = 60.0
GLANCE = 0.05
"""Seconds between two looks while something is started or stopped."""
TRIES = 3
"""So often a program may end before all were ready for the first time; then the start has failed."""


class Supervisor:
    def __init__(self, processes: list[Process], run_dir: Path, console: Console | None = None) -> None:
        self._console = console or Console([process.name for process in processes])
        self._run_dir = run_dir
        self._guard = GroupGuard()
        self._children = [Child(process, run_dir, self._guard) for process in processes]
        self._selector = selectors.DefaultSelector()
        self._all_ready = False
        """Whether they were once."""
        self._signals = 0
        self._deadline: float | None = None
        """Set while stopping: when to kill (monotonic)."""
        self._exit_code = 0

    def run(self, on_ready: Callable[[], None]) -> int:
        """Returns when all have ended: 0 after a signal, 1 when they could not be started. Main thread only.

        `on_ready` is called once, when every program is ready for the first time.
        """
        self._run_dir.mkdir(parents=True, exist_ok=True)
        record = self._run_dir / "supervisor.json"
        record.write_text(json.dumps({"pid": os.getpid(), "started": time.time()}))
        try:
            with self._awake_on_signals():
                self._loop(on_ready)
        finally:
            self._kill()
            self._close()
            record.unlink(missing_ok=True)
        return self._exit_code

    def stop(self, exit_code: int = 0) -> None:
        """Begins to stop; `run` returns once all have ended."""
        if self._deadline is None:
            self._deadline, self._exit_code = time.monotonic() + KILL_AFTER, exit_code

    def _loop(self, on_ready: Callable[[], None]) -> None:
        ready_by = time.monotonic() + READY_WITHIN
        while True:
            self._reap()
            if self._signals and self._deadline is None:
                self._console.say("stopping; once more kills at once")
                self.stop()
            if self._deadline is not None:
                if not self._go_on_stopping():
                    return
            elif not self._all_ready:
                self._go_on_starting(on_ready, ready_by)
            else:
                self._start_again()
            for key, _ in self._selector.select(self._patience()):
                key.data()

    def _go_on_starting(self, on_ready: Callable[[], None], ready_by: float) -> None:
        for child in self._children:
            self._start_if_due(child)
            if not child.check_ready():
                if time.monotonic() > ready_by:
                    self._fail(child, f"is not ready after {READY_WITHIN:.0f} s")
                return
        self._all_ready = True
        on_ready()

    def _start_again(self) -> None:
        for child in self._children:
            self._start_if_due(child)

    def _start_if_due(self, child: Child) -> None:
        if child.alive or time.monotonic() < child.due:
            return
        self._end_output(child)  # something that it left behind may still hold the old one
        self._selector.register(child.start(), selectors.EVENT_READ, lambda: self._show(child))

    def _go_on_stopping(self) -> bool:
        """Asks the last one to end, those before it when its time is over. Whether any still runs."""
        running = [child for child in reversed(self._children) if child.alive]
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            for child in running:
                self._console.say(f"{child.name} does not end and is killed")
            return False
        for child in running:
            child.stop()
            if now < child.stop_by:
                break
        return bool(running)

    def _reap(self) -> None:
        self._guard.renew()
        for child in self._children:
            status = child.ended()
            if status is None:
                continue
            self._show(child)
            if self._deadline is None and not self._signals:
                self._explain_end(child, status)

    def _explain_end(self, child: Child, status: int) -> None:
        for line in child.last_log():
            self._console.line(child.name, line)
        how = f"exit code {status}" if status >= 0 else f"signal {-status}"
        self._console.say(f"{child.name} ended ({how})")
        if not self._all_ready and child.failures >= TRIES:
            self._fail(child, f"ended {child.failures} times before it was ready")
        else:
            self._console.say(f"{child.name} starts again in {child.pause:.0f} s")

    def _fail(self, child: Child, what: str) -> None:
        self._console.say(f"{child.name} {what}: see its lines above")
        self.stop(exit_code=1)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without being woken; None is for ever."""
        if self._deadline is not None or not self._all_ready:
            return GLANCE
        dates = [child.due for child in self._children if not child.alive]
        return max(0.0, min(dates) - time.monotonic()) if dates else None

    def _show(self, child: Child) -> None:
        lines, at_end = child.read()
        for line in lines:
            self._console.line(child.name, line)
        if at_end:
            self._end_output(child)

    def _end_output(self, child: Child) -> None:
        if child.output is not None:
            self._selector.unregister(child.output)
            child.close_output()

    def _kill(self) -> None:
        for child in self._children:
            child.signal(signal.SIGKILL)
        end = time.monotonic() + GONE_AFTER
        while any(child.alive for child in self._children) and time.monotonic() < end:
            self._reap()
            time.sleep(0.01)

    @contextlib.contextmanager
    def _awake_on_signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP stop; they and SIGCHLD end the sleep in select."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(4096))
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        handlers = {number: signal.signal(number, self._on_signal) for number in stopping}
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            self._selector.unregister(reader)
            reader.close()
            writer.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Prints nothing, for it may interrupt a print. The second kills from here, should the loop hang."""
        self._signals += 1
        if self._signals > 1:
            for child in self._children:
                child.signal(signal.SIGKILL)

    def _close(self) -> None:
        for child in self._children:
            self._show(child)
            self._end_output(child)
        self._selector.close()
        self._guard.close()
