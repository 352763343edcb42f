"""The fleet: who is in it, who is online, and what placement knows of each."""

import time
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, func, select

from queen import artifacts
from queen.artifacts import Items
from queen.database import Transaction
from queen.job_view import iso
from queen.placement import Candidate
from queen.rows import Hive, Job
from queen.tales import LiveHive
from shared.errors import Conflict, NotFound
from shared.states import ACTIVE
from shared.timing import OFFLINE_AFTER


def get(session: Session, hive_id: str) -> Hive:
    hive = session.get(Hive, hive_id)
    if hive is None or hive.removed_at is not None:
        raise NotFound("There is no such hive.", code="unknown_hive", hint="List the hives: rbee hive ls")
    return hive


def lock(tx: Transaction, hive_id: str) -> Hive:
    """The row, locked for the rest of the transaction. Raises Conflict `removed`."""
    hive = tx.session.get(Hive, hive_id, with_for_update=True, populate_existing=True)
    if hive is None or hive.removed_at is not None:
        raise Conflict("This hive was removed from the fleet.", code="removed")
    return hive


def describe(tx: Transaction, hive_id: str, *, name: str | None, labels: dict[str, str] | None) -> None:
    """Renames or labels a hive; what is None stays."""
    hive = get(tx.session, hive_id)
    hive.name = name or hive.name
    hive.labels = hive.labels if labels is None else labels
    tx.tales.append(LiveHive(hive.id))


def members(session: Session) -> list[Hive]:
    return list(session.exec(select(Hive).where(col(Hive.removed_at).is_(None)).order_by(Hive.name, Hive.id)))


def is_online(hive: Hive, now: float) -> bool:
    return hive.last_seen is not None and now - hive.last_seen < OFFLINE_AFTER


def hive_view(hive: Hive, items: Items, now: float | None = None) -> dict[str, Any]:
    """A hive with its artifacts as the API shows it. Bytes for disk and memory; `workers` are its running instances."""
    facts = hive.facts
    return {
        "id": hive.id,
        "name": hive.name,
        "kind": hive.kind,
        "platform": facts.get("platform"),
        "arch": facts.get("arch"),
        "hostname": facts.get("hostname"),
        "version": facts.get("version"),
        "capabilities": facts.get("capabilities", []),
        "devices": facts.get("devices", []),
        "disk": {"total": facts.get("disk_total"), "free": facts.get("disk_free")},
        "memory": {"total": facts.get("memory_total"), "available": facts.get("memory_available")},
        "cpu_count": facts.get("cpu_count"),
        "labels": hive.labels,
        "artifacts": items,
        "workers": [],
        "last_seen": iso(hive.last_seen),
        "joined_at": iso(hive.joined_at),
        "online": is_online(hive, now or time.time()),
    }


def fleet_view(session: Session, now: float) -> list[dict[str, Any]]:
    items = artifacts.by_hive(session)
    return [hive_view(hive, items[hive.id], now) for hive in members(session)]


def candidates(session: Session, now: float, resource: str) -> list[Candidate]:
    """All members as placement sees them for a job on `resource`."""
    reserved, load = _commitments(session)
    held = artifacts.status_by_hive(session, resource)
    return [
        _candidate(hive, reserved.get(hive.id, 0), load.get(hive.id, 0), held.get(hive.id), now)
        for hive in members(session)
    ]


def candidate(
    session: Session, hive: Hive, job: Job, now: float, promises: Mapping[str, int] | None = None
) -> Candidate:
    """One hive as placement sees it for `job`, which is left out of what the hive has promised.

    What it has promised matters to a job of known size; `promises` spares asking for it again for each of many jobs.
    """
    others: Mapping[str, int] = {}
    if job.size is not None:
        others = promised(session, hive.id) if promises is None else promises
    left = [size for job_id, size in others.items() if job_id != job.id]
    held = artifacts.status_on(session, hive.id, job.resource)
    return _candidate(hive, sum(left), len(left), held, now)


def promised(session: Session, hive_id: str) -> dict[str, int]:
    """Bytes still to be written on a hive, by job: of all that is running or placed there."""
    query = select(Job.id, Job.size, Job.progress).where(
        col(Job.state).in_(ACTIVE), col(Job.is_parent).is_(False), Job.hive_id == hive_id
    )
    return {job_id: bytes_left(size, progress) for job_id, size, progress in session.exec(query)}


def bytes_left(size: int | None, progress: Mapping[str, Any] | None) -> int:
    return max((size or 0) - bytes_done(progress), 0)


def bytes_done(progress: Mapping[str, Any] | None) -> int:
    return int(progress["done"]) if progress and progress.get("unit") == "bytes" else 0


def _candidate(hive: Hive, reserved: int, load: int, held: str | None, now: float) -> Candidate:
    return Candidate(
        id=hive.id,
        name=hive.name,
        kind=hive.kind,
        online=is_online(hive, now),
        protocol=hive.protocol,
        operations=frozenset(hive.facts.get("operations", ())),
        capabilities=frozenset(hive.facts.get("capabilities", ())),
        disk_free=hive.facts.get("disk_free", 0),
        reserved=reserved,
        load=load,
        held=held,
    )


def _commitments(session: Session) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes still to be written, and jobs, by hive: of all that is running or placed."""
    active = (
        col(Job.state).in_(ACTIVE),
        col(Job.is_parent).is_(False),
        col(Job.hive_id).is_not(None),
    )
    counted = session.exec(select(Job.hive_id, func.count()).where(*active).group_by(col(Job.hive_id)))
    load = {owner: count for owner, count in counted if owner is not None}
    reserved: dict[str, int] = {}
    sized = select(Job.hive_id, Job.size, Job.progress).where(*active, col(Job.size) > 0)
    for owner, size, progress in session.exec(sized):
        if owner is not None:
            reserved[owner] = reserved.get(owner, 0) + bytes_left(size, progress)
    return reserved, load
