"""How followed jobs are shown: bars under the narration on a terminal, plain lines elsewhere, nothing at all for JSON."""

import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from cli import quantities, screen
from cli.follow import Display, Job
from shared.states import FINAL

PHASES = {"download": "Downloading", "verify": "Verifying"}
PLAIN_STEP = 10
"""Per cent between two lines about progress where no bar is drawn."""
PLAIN_SECONDS = 30.0
"""Seconds after which one is written all the same."""
NAME_WIDTH = 16


def display(
    hives: Mapping[str, str], *, stamped: bool = False, silent: bool = False, many: bool = False
) -> Display:
    """`hives` are names by id. `stamped`: with the time before each line. `many`: with the hive before each line."""
    if silent:
        return SilentDisplay()
    kind = LiveDisplay if screen.is_live() else PlainDisplay
    return kind(screen.console(), hives, stamped=stamped, many=many)


class SilentDisplay:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def job(self, job: Job) -> None: ...
    def progress(self, event: dict[str, Any]) -> None: ...
    def said(self, event: dict[str, Any]) -> None: ...
    def ended(self, event: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...

    def has_said(self, job_id: str, text: str) -> bool:
        return False


class Narrated(SilentDisplay):
    """What bars and plain lines have in common: every line once, with what tells jobs and attempts apart."""

    def __init__(self, console: Console, hives: Mapping[str, str], *, stamped: bool, many: bool) -> None:
        self._console = console
        self._hives = hives
        self._stamped = stamped
        self._many = many
        self._jobs: dict[str, Job] = {}
        self._remarks: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._said: dict[str, str] = {}

    def job(self, job: Job) -> None:
        self._jobs[job["id"]] = job
        self._many = self._many or bool(job.get("is_parent"))
        remark = self._remark(job)
        if remark != self._remarks.get(job["id"], ""):
            self._remarks[job["id"]] = remark
            if remark:
                self._write(job["id"], f"[{remark}]", job.get("updated_at"), "bright_black")

    def said(self, event: dict[str, Any]) -> None:
        job_id, attempt = event["job_id"], event["attempt"]
        if attempt != self._attempts.setdefault(job_id, attempt):
            self._attempts[job_id] = attempt
            self._write(job_id, f"--- attempt {attempt} ---", None, "bright_black")
        self._said[job_id] = event.get("text", "")
        style = "bright_black" if event["kind"] == "log" else ""
        self._write(job_id, event.get("text", ""), event["at"], style)

    def ended(self, event: dict[str, Any]) -> None:
        if self._stamped or event.get("text"):
            self._write(
                event["job_id"], f"[{event['state']}] {event.get('text') or ''}".strip(), event["at"], ""
            )

    def has_said(self, job_id: str, text: str) -> bool:
        return self._console.is_terminal and text in self._said.get(job_id, "")

    def note(self, text: str) -> None:
        self._print(Text(f"[{text}]", "yellow"))

    def hive_of(self, job: Job) -> str:
        hive_id = job.get("hive_id") or ""
        return screen.printable(self._hives.get(hive_id, hive_id[:8]))

    def _remark(self, job: Job) -> str:
        """What the narration does not say, for the hive does not know it."""
        if job["state"] in FINAL:
            return ""
        if job["stopping"]:
            return "cancelling" if job["stopping"] == "cancel" else "pausing"
        if job["state"] == "paused":
            return f"Paused; go on with: rbee job resume {quantities.short(job['id'])}"
        return str(job.get("note") or "")

    def _write(self, job_id: str, text: str, at: str | None, style: str) -> None:
        line = Text()
        if self._stamped and at:
            line.append(f"{self._stamp(at)}  ", "bright_black")
        job = self._jobs.get(job_id, {})
        if self._many and not job.get("is_parent") and (hive := self.hive_of(job)):
            line.append(f"{hive}  ", "blue")
        self._print(line.append(screen.printable(text), style))

    def _stamp(self, at: str) -> str:
        return at

    def _print(self, text: Text) -> None:
        self._console.print(text)


class PlainDisplay(Narrated):
    """For files, pipes and dumb terminals: no control characters, and progress every tenth of the way."""

    def __init__(self, console: Console, hives: Mapping[str, str], *, stamped: bool, many: bool) -> None:
        super().__init__(console, hives, stamped=stamped, many=many)
        self._told: dict[str, tuple[tuple[str, int], float]] = {}

    def progress(self, event: dict[str, Any]) -> None:
        job_id, progress = event["job_id"], event["progress"]
        percent = percent_of(progress)
        step = (progress["phase"], (percent or 0) // PLAIN_STEP)
        before, at = self._told.get(job_id, ((progress["phase"], 0), time.monotonic()))
        self._told.setdefault(job_id, (before, at))
        if step != before or time.monotonic() - at > PLAIN_SECONDS:
            self._told[job_id] = step, time.monotonic()
            told = [f"{phase_of(progress)}: {percent} %" if percent is not None else phase_of(progress)]
            self._write(job_id, ", ".join(told + numbers_of(progress)), event["at"], "")

    def _print(self, text: Text) -> None:
        super()._print(text)
        self._console.file.flush()


class LiveDisplay(Narrated):
    """A bar for each job of one hive; they go when the jobs have ended, the narration stays."""

    def __init__(self, console: Console, hives: Mapping[str, str], *, stamped: bool, many: bool) -> None:
        super().__init__(console, hives, stamped=stamped, many=many)
        columns: list[ProgressColumn] = [
            _Field(console, "label"),
            BarColumn(
                bar_width=None, complete_style="cyan", finished_style="green", pulse_style="bright_black"
            ),
            _Field(console, "percent", justify="right"),
            _Field(console, "amount", justify="right", from_width=48),
            _Field(console, "rate", justify="right", from_width=56),
            _Field(console, "eta", justify="right", from_width=68),
        ]
        self._bars = Progress(*columns, console=console, transient=True, expand=True, refresh_per_second=8)
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def job(self, job: Job) -> None:
        super().job(job)
        if job.get("is_parent"):
            return
        if job.get("progress"):
            self._last[job["id"]] = job["progress"]
        self._draw(job["id"])

    def progress(self, event: dict[str, Any]) -> None:
        self._last[event["job_id"]] = event["progress"]
        self._draw(event["job_id"])

    def _draw(self, job_id: str) -> None:
        job, progress = self._jobs.get(job_id, {}), self._last.get(job_id)
        state = job.get("state", "running")
        if state in FINAL and not self._many:
            self._remove(job_id)
            return
        if job_id not in self._tasks:
            self._tasks[job_id] = self._bars.add_task("", total=None)
        moving = progress if state == "running" else None
        fields: dict[str, Any] = {
            "label": self._label(job, progress),
            "percent": "",
            "amount": "",
            "rate": "",
            "eta": "",
        }
        if progress:
            percent = percent_of(progress)
            fields["percent"] = f"{percent}%" if percent is not None else ""
            fields["amount"] = amount_of(progress)
        if moving and moving.get("rate"):
            fields["rate"] = f"{quantities.size(moving['rate'])}/s"
            fields["eta"] = f"{quantities.duration(moving['eta'])} left" if moving.get("eta") else ""
        self._bars.update(
            self._tasks[job_id],
            total=progress["total"] if progress else None,
            completed=progress["done"] if progress else 0,
            **fields,
        )

    def _remove(self, job_id: str) -> None:
        if (task := self._tasks.pop(job_id, None)) is not None:
            self._bars.remove_task(task)

    def _label(self, job: Job, progress: dict[str, Any] | None) -> str:
        state = job.get("state", "running")
        word = phase_of(progress) if progress else "Starting"
        if state != "running":
            word = {"queued": "Waiting"}.get(state, state.capitalize())
        if job.get("stopping"):
            word = "Cancelling" if job["stopping"] == "cancel" else "Pausing"
        hive = self.hive_of(job) if self._many else ""
        if len(hive) > NAME_WIDTH:
            hive = hive[: NAME_WIDTH - 1] + "…"
        return f"{hive}  {word}" if hive else word

    def _stamp(self, at: str) -> str:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")

    def _print(self, text: Text) -> None:
        self._bars.console.print(text)


class _Field(ProgressColumn):
    """A text that the queen's figures made; none on a screen narrower than `from_width`."""

    max_refresh = None

    def __init__(
        self, console: Console, name: str, *, justify: JustifyMethod = "left", from_width: int = 0
    ) -> None:
        super().__init__()
        self._console = console
        self._name = name
        self._justify = justify
        self._from_width = from_width

    def render(self, task: Task) -> Text:
        shown = task.fields.get(self._name, "") if self._console.width >= self._from_width else ""
        return Text(str(shown), justify=self._justify, no_wrap=True)


def percent_of(progress: dict[str, Any]) -> int | None:
    """Rounded down, and never 100 before the last byte is verified."""
    if not progress.get("total"):
        return None
    percent = int(100 * progress["done"] // progress["total"])
    return min(percent, 99) if progress["phase"] == "download" else min(percent, 100)


def phase_of(progress: dict[str, Any]) -> str:
    return PHASES.get(progress["phase"], screen.printable(str(progress["phase"])).capitalize())


def amount_of(progress: dict[str, Any]) -> str:
    if progress["unit"] == "bytes":
        return quantities.share(progress["done"], progress["total"])
    whole = f" of {progress['total']:,}" if progress["total"] is not None else ""
    return f"{progress['done']:,}{whole} {progress['unit']}"


def numbers_of(progress: dict[str, Any]) -> list[str]:
    """Amount, rate and time left, as far as they are known."""
    told = [amount_of(progress)]
    if progress.get("rate"):
        told.append(f"{quantities.size(progress['rate'])}/s")
    if progress.get("eta"):
        told.append(f"{quantities.duration(progress['eta'])} left")
    return told
