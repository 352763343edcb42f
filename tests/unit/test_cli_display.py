"""What a person sees of followed jobs: on a terminal, in a file, and with hostile texts."""

import io
import re
from typing import Any

from rich.console import Console

from cli import display
from cli.display import LiveDisplay, PlainDisplay

HIVES = {"h1": "gpu-box"}


def job(**more: Any) -> dict[str, Any]:
    return {
        "id": "job-1",
        "title": "Download org/repo",
        "state": "running",
        "stopping": None,
        "hive_id": "h1",
        "is_parent": False,
        "progress": None,
        "note": None,
        "updated_at": "2026-01-01T00:00:00.000Z",
    } | more


def said(text: str, *, attempt: int = 1, kind: str = "line") -> dict[str, Any]:
    return {
        "job_id": "job-1",
        "attempt": attempt,
        "kind": kind,
        "text": text,
        "at": "2026-01-01T00:00:01.000Z",
    }


def moved(done: int, total: int | None = 100_000_000, phase: str = "download") -> dict[str, Any]:
    progress = {"done": done, "total": total, "unit": "bytes", "phase": phase, "rate": 2e6, "eta": 65.0}
    return {"job_id": "job-1", "attempt": 1, "at": "2026-01-01T00:00:02.000Z", "progress": progress}


def plain(*, stamped: bool = False, many: bool = False) -> tuple[PlainDisplay, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=10_000, highlight=False, markup=False)
    return PlainDisplay(console, HIVES, stamped=stamped, many=many), out


def live(width: int) -> tuple[LiveDisplay, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=20, force_terminal=True, highlight=False, markup=False)
    return LiveDisplay(console, HIVES, stamped=False, many=False), out


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_file_gets_lines_and_a_tenth_of_progress_at_a_time() -> None:
    shown, out = plain()

    with shown:
        shown.job(job())
        shown.said(said("Fetches 1 file."))
        for done in range(0, 100_000_000, 1_000_000):
            shown.progress(moved(done))
        shown.progress(moved(100_000_000, phase="verify"))

    lines = out.getvalue().splitlines()
    assert lines[0] == "Fetches 1 file."
    assert lines[1] == "Downloading: 10 %, 10.0 of 100 MB, 2.0 MB/s, 1:05 left"
    assert lines[-1].startswith("Verifying: 100 %")
    assert len(lines) == 11


def test_a_file_never_gets_control_characters_whatever_a_job_says() -> None:
    shown, out = plain()

    with shown:
        shown.job(job(note="evil \x1b]0;title\x07 note"))
        shown.said(said("wipe \x1b[2J\r\x08 [bold]this[/bold]", kind="log"))

    assert out.getvalue() == "[evil  ]0;title  note]\nwipe  [2J   [bold]this[/bold]\n"


def test_the_hundredth_part_is_told_only_when_it_is_verified() -> None:
    full = {"done": 10, "total": 10, "phase": "download"}

    assert display.percent_of(full) == 99
    assert display.percent_of(full | {"phase": "verify"}) == 100
    assert display.percent_of(full | {"total": None}) is None


def test_attempts_are_parted_and_notes_come_once() -> None:
    shown, out = plain(stamped=True)

    with shown:
        shown.job(job(state="queued", note="Waits for a hive with cuda that fits."))
        shown.job(job(state="queued", note="Waits for a hive with cuda that fits."))
        shown.said(said("first"))
        shown.said(said("second", attempt=2))
        shown.ended({"job_id": "job-1", "at": "2026-01-01T00:00:03.000Z", "state": "completed"})

    assert out.getvalue().splitlines() == [
        "2026-01-01T00:00:00.000Z  [Waits for a hive with cuda that fits.]",
        "2026-01-01T00:00:01.000Z  first",
        "--- attempt 2 ---",
        "2026-01-01T00:00:01.000Z  second",
        "2026-01-01T00:00:03.000Z  [completed]",
    ]


def test_with_several_hives_each_line_names_its_own() -> None:
    shown, out = plain(many=True)

    with shown:
        shown.job(job())
        shown.said(said("Fetches."))

    assert out.getvalue() == "gpu-box  Fetches.\n"


def test_what_a_narrow_terminal_cannot_hold_is_left_out_of_the_bar() -> None:
    for width, rate, eta in ((120, True, True), (80, True, True), (60, True, False), (40, False, False)):
        shown, out = live(width)

        with shown:
            shown.job(job())
            shown.progress(moved(42_000_000))
            shown._bars.refresh()

        drawn = next(line for line in re.split(r"[\r\n]+", uncoloured(out.getvalue())) if "42%" in line)
        assert "Downloading" in drawn
        assert ("2.0 MB/s" in drawn) == rate
        assert ("1:05 left" in drawn) == eta
        assert len(drawn) <= width


def test_the_bar_says_what_state_the_job_is_in() -> None:
    shown, out = live(80)

    with shown:
        for state, stopping in (("queued", None), ("running", "cancel"), ("paused", None)):
            shown.job(job(state=state, stopping=stopping, progress=moved(1)["progress"]))
            shown._bars.refresh()

    drawn = uncoloured(out.getvalue())
    assert "Waiting" in drawn
    assert "Cancelling" in drawn
    assert "rbee job resume 1" in drawn


def test_a_terminal_is_told_why_a_job_failed_once() -> None:
    shown, _ = live(80)

    with shown:
        shown.said(said("The host has no such file. Check the name."))

    assert shown.has_said("job-1", "The host has no such file.")
    assert not shown.has_said("job-2", "The host has no such file.")
