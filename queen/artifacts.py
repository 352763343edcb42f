"""What lies on the hives: rows kept as their hives tell them."""

from collections import defaultdict
from typing import Any

from sqlmodel import Session, col, delete, select

from queen.database import Transaction
from queen.rows import Artifact
from shared.ids import MAX_MODEL_ID

GONE = "gone"

Items = list[dict[str, Any]]


def replace(tx: Transaction, hive_id: str, items: Items) -> None:
    """Takes over a hive's whole inventory."""
    told = {(item["kind"], item["id"]): item for item in items if _is_item(item)}
    for row in tx.session.exec(select(Artifact).where(Artifact.hive_id == hive_id)):
        item = told.pop((row.kind, row.id), None)
        if item is None:
            tx.session.delete(row)
        elif item != row.item:
            row.item, row.status = item, item["status"]
    tx.session.add_all(_row(hive_id, item) for item in told.values())


def take(tx: Transaction, hive_id: str, item: dict[str, Any]) -> None:
    """Takes over one artifact, as the job that changed it tells."""
    if not _is_item(item):
        return
    if item["status"] == GONE:
        row = tx.session.get(Artifact, (hive_id, item["kind"], item["id"]))
        if row is not None:
            tx.session.delete(row)
    else:
        tx.session.merge(_row(hive_id, item))


def forget(tx: Transaction, hive_id: str) -> None:
    tx.session.execute(delete(Artifact).where(col(Artifact.hive_id) == hive_id))


def by_hive(session: Session, hive_id: str | None = None) -> dict[str, Items]:
    """Items by hive, of all hives or of one."""
    query = select(Artifact.hive_id, Artifact.item).order_by(Artifact.id)
    if hive_id is not None:
        query = query.where(Artifact.hive_id == hive_id)
    found: dict[str, Items] = defaultdict(list)
    for owner, item in session.exec(query):
        found[owner].append(dict(item))
    return found


def status_by_hive(session: Session, resource: str) -> dict[str, str]:
    """Hive id → the status that a resource, such as `model:org/repo`, has there."""
    kind, _, artifact_id = resource.partition(":")
    query = select(Artifact.hive_id, Artifact.status).where(Artifact.kind == kind, Artifact.id == artifact_id)
    return dict(session.exec(query).all())


def status_on(session: Session, hive_id: str, resource: str) -> str | None:
    """The status that a resource has on one hive; None when it is not there."""
    kind, _, artifact_id = resource.partition(":")
    row = session.get(Artifact, (hive_id, kind, artifact_id))
    return row.status if row else None


def _row(hive_id: str, item: dict[str, Any]) -> Artifact:
    return Artifact(hive_id=hive_id, kind=item["kind"], id=item["id"], status=item["status"], item=item)


def _is_item(item: dict[str, Any]) -> bool:
    return all(
        isinstance(word := item.get(name), str) and 0 < len(word) <= MAX_MODEL_ID
        for name in ("kind", "id", "status")
    )
