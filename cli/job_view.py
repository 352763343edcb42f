"""Jobs as text: in a table, one alone, and why it is where it is."""

from datetime import datetime
from typing import Any

from cli import naming, quantities, screen
from cli.display import amount_of, percent_of
from cli.follow import Job
from shared.states import FINAL

Names = dict[str, str]
"""Of hives, by id."""


def table(jobs: list[Job], names: Names) -> None:
    columns = ("ID", "STATE", "WHAT", "HIVE", "PROGRESS", "CREATED")
    screen.table(columns, (_row(job, names) for job in jobs), elastic="WHAT")


def show(found: Job, names: Names) -> None:
    """One job; of a job for all hives also its children."""
    error = found["error"] or {}
    screen.facts(
        [
            ("Job", found["id"]),
            ("What", found["title"]),
            ("State", screen.state(_state(found))),
            ("Where", naming.where(found, names)),
            ("Progress", _progress(found) or None),
            ("Note", found["note"]),
            ("Error", error.get("message")),
            ("", error.get("hint")),
            (
                "Attempt",
                f"{found['attempt']}" + (f", lost {found['losses']} times" if found["losses"] else ""),
            ),
            ("Created", _moment(found["created_at"])),
            ("Started", _moment(found["started_at"])),
            ("Finished", _moment(found["finished_at"])),
        ]
    )
    if children := found.get("children"):
        screen.say("")
        screen.table(
            ("ID", "STATE", "HIVE", "PROGRESS"),
            ([_row(one, names)[at] for at in (0, 1, 3, 4)] for one in children),
        )


def explain(found: dict[str, Any], names: Names) -> None:
    """What `/why` answers."""
    placed, choice, state = found["placed_on"], found["choice"], found["state"]
    where = "Ran on" if state in FINAL else {"running": "Runs on"}.get(state, "Placed on")
    elsewhere = choice if state == "queued" and choice != placed else None
    screen.facts(
        [
            ("State", screen.state(state)),
            (where, names.get(placed, placed) if placed else None),
            ("Would go to", names.get(elsewhere, elsewhere) if elsewhere else None),
            ("Note", found["note"]),
        ]
    )
    screen.say("")
    screen.table(("HIVE", "FITS", "WHY"), (_verdict(one) for one in found["hives"]), elastic="WHY")


def _row(job: Job, names: Names) -> tuple[Any, ...]:
    return (
        quantities.short(job["id"]),
        screen.state(_state(job)),
        job["title"],
        naming.where(job, names),
        _progress(job),
        quantities.ago(job["created_at"]),
    )


def _state(job: Job) -> str:
    if job["stopping"]:
        return "cancelling" if job["stopping"] == "cancel" else "pausing"
    return str(job["state"])


def _progress(job: Job) -> str:
    progress = job["progress"]
    if not progress or not progress["done"]:
        return ""
    percent = percent_of(progress)
    if job["state"] == "completed" or percent is None:
        return amount_of(progress) if percent is None else quantities.size(progress["total"])
    return f"{percent}% of {quantities.size(progress['total'])}"


def _moment(iso: str | None) -> str | None:
    """The local time, and how long ago."""
    if iso is None:
        return None
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M:%S}  ({quantities.ago(iso)})"


def _verdict(verdict: dict[str, Any]) -> tuple[Any, ...]:
    if verdict["fits"]:
        return verdict["name"], screen.plain("yes", "green"), f"score {verdict['score']}"
    need, have = verdict.get("need"), verdict.get("have")
    if verdict["filter"] == "disk":
        need, have = quantities.size(need), quantities.size(have)
    figures = f" Needs {need}, has {have}." if need is not None and have is not None else ""
    return verdict["name"], screen.plain("no", "red"), f"{verdict['reason']}{figures}"
