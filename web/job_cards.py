"""A job as its card shows it: the API's view, with names for ids and, for a job on all hives, its children summed."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlmodel import Session, col, select

from queen.job_view import job_view
from queen.rows import Hive, Job
from shared.states import FINAL, RETRYABLE, JobState

Card = dict[str, Any]


def cards(session: Session, views: Iterable[dict[str, Any]]) -> list[Card]:
    """Cards of `queen.job_view.job_view`s, in their order; two queries for any number."""
    views = list(views)
    names = hive_names(
        session, {view["hive_id"] for view in views} | {view["target"].get("hive") for view in views}
    )
    children = _children(session, [view["id"] for view in views if view["is_parent"]])
    return [_card(view, names, children.get(view["id"], [])) for view in views]


def of_rows(session: Session, rows: Iterable[Job]) -> list[Card]:
    return cards(session, [job_view(row) for row in rows])


def one(session: Session, job: Job) -> Card:
    return of_rows(session, [job])[0]


def hive_names(session: Session, ids: set[str | None]) -> dict[str, str]:
    """Also of hives that left the fleet."""
    wanted = [hive_id for hive_id in ids if hive_id]
    if not wanted:
        return {}
    return dict(session.exec(select(Hive.id, Hive.name).where(col(Hive.id).in_(wanted))).all())


def _children(session: Session, parents: list[str]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    if parents:
        for job in session.exec(select(Job).where(col(Job.parent_id).in_(parents)).order_by(col(Job.id))):
            found.setdefault(str(job.parent_id), []).append(job)
    return found


def _card(view: dict[str, Any], names: dict[str, str], children: list[Job]) -> Card:
    card = {**view, "hive_name": names.get(view["hive_id"] or ""), "where": _where(view, names)}
    states: list[str] = [view["state"]]
    if view["is_parent"]:
        states = [child.state for child in children]
        card |= {"progress": _sum(children), "children": Counter(states)}
    stopping = view["stopping"]
    card["actions"] = {
        "pause": view["pausable"] and not stopping and any(s in {"queued", "running"} for s in states),
        "resume": "paused" in states,
        "retry": any(state in RETRYABLE for state in states),
        "cancel": view["state"] not in FINAL and stopping != "cancel",
    }
    return card


def _where(view: dict[str, Any], names: dict[str, str]) -> str:
    """Where it runs, or where it is meant to."""
    target = view["target"]
    if target.get("all"):
        return "all hives"
    if view["hive_id"]:
        return names.get(view["hive_id"], "a hive that left")
    if target.get("capability"):
        return f"any {target['capability']} hive"
    return names.get(target.get("hive", ""), "")


def _sum(children: list[Job]) -> dict[str, Any] | None:
    """Bytes of all children; a total only when each of them knows its own."""
    known = [child.progress for child in children if child.progress and child.progress.get("unit") == "bytes"]
    if not known:
        return None
    running = [
        child.progress or {} for child in children if child.state == JobState.RUNNING and child.progress
    ]
    totals = [progress.get("total") for progress in known]
    complete = len(known) == len(children) and None not in totals
    done, rate = sum(p.get("done") or 0 for p in known), sum(p.get("rate") or 0 for p in running)
    total = sum(t for t in totals if t is not None) if complete else None
    phases = {progress.get("phase") for progress in running}
    return {
        "done": done,
        "total": total,
        "unit": "bytes",
        "phase": phases.pop() if len(phases) == 1 else "",
        "rate": rate or None,
        "eta": max((p.get("eta") or 0 for p in running), default=None) or None,
    }
