"""A job as its card shows it: the API's view, with names for ids and, for a job on all hives, its children summed.

`silent` says that the hive that runs it has not been heard lately.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlmodel import Session, col, select

from queen.hives import is_online
from queen.job_view import job_view
from queen.rows import Hive, Job
from shared.operations import OPERATIONS
from shared.states import FINAL, RETRYABLE, JobState

Card = dict[str, Any]


def cards(session: Session, views: Iterable[dict[str, Any]]) -> list[Card]:
    """Cards of `queen.job_view.job_view`s, in their order; two queries for any number."""
    views = list(views)
    named = {view["hive_id"] for view in views} | {view["target"].get("hive") for view in views}
    found = _hives(session, named)
    children = _children(session, [view["id"] for view in views if view["is_parent"]])
    return [_card(view, found, children.get(view["id"], [])) for view in views]


def of_rows(session: Session, rows: Iterable[Job]) -> list[Card]:
    return cards(session, [job_view(row) for row in rows])


def one(session: Session, job: Job) -> Card:
    return of_rows(session, [job])[0]


def _hives(session: Session, ids: set[str | None]) -> dict[str, Hive]:
    """By id; also those that left the fleet."""
    wanted = [hive_id for hive_id in ids if hive_id]
    if not wanted:
        return {}
    return {hive.id: hive for hive in session.exec(select(Hive).where(col(Hive.id).in_(wanted)))}


def _children(session: Session, parents: list[str]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    if parents:
        for job in session.exec(select(Job).where(col(Job.parent_id).in_(parents)).order_by(col(Job.id))):
            found.setdefault(str(job.parent_id), []).append(job)
    return found


def _card(view: dict[str, Any], found: dict[str, Hive], children: list[Job]) -> Card:
    hive = found.get(view["hive_id"] or "")
    card = {
        **view,
        **_title(view),
        "hive_name": hive.name if hive else None,
        "silent": hive is not None and view["state"] == JobState.RUNNING and not is_online(hive, time.time()),
        "where": _where(view, {hive_id: hive.name for hive_id, hive in found.items()}),
    }
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


def _title(view: dict[str, Any]) -> dict[str, str]:
    """A model that is named by its URL goes by its file; `source` is the host then."""
    model = str(view["params"].get("model", ""))
    operation = OPERATIONS.get(view["operation"])
    if "://" not in model or operation is None:
        return {}
    parts = urlsplit(model)
    name = unquote(parts.path).rstrip("/").rpartition("/")[2]
    return {"title": operation.title({**view["params"], "model": name or model}), "source": parts.netloc}


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
    """Bytes of all children. They fetch the same model: what one knows of its size holds for each."""
    told = [
        (child.state, child.progress) for child in children if (child.progress or {}).get("unit") == "bytes"
    ]
    if not told:
        return None
    whole = max((progress.get("total") or 0 for _, progress in told if progress), default=0)
    running = [progress for state, progress in told if progress and state == JobState.RUNNING]
    done = sum(
        whole if child.state == JobState.COMPLETED else (child.progress or {}).get("done") or 0
        for child in children
    )
    phases = {progress.get("phase") for progress in running}
    return {
        "done": done,
        "total": whole * len(children) or None,
        "unit": "bytes",
        "phase": phases.pop() if len(phases) == 1 else "",
        "rate": sum(progress.get("rate") or 0 for progress in running) or None,
        "eta": max((progress.get("eta") or 0 for progress in running), default=None) or None,
    }
