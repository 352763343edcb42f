"""A job as everybody outside sees it: the API, the live stream, the pages and the CLI."""

from datetime import UTC, datetime
from typing import Any

from queen.rows import Job
from shared.operations import OPERATIONS
from shared.redaction import redact
from shared.states import FINAL


def job_view(job: Job) -> dict[str, Any]:
    """Times are ISO 8601 in UTC; `stopping` is "cancel" or "pause" while a request waits for the hive."""
    operation = OPERATIONS.get(job.operation)
    return {
        "id": job.id,
        "operation": job.operation,
        "title": redact(operation.title(job.params)) if operation else job.operation,
        "params": redact.deep(job.params),
        "target": job.target,
        "lane": job.lane,
        "pausable": bool(operation and operation.pausable),
        "state": job.state,
        "stopping": _stopping(job),
        "attempt": job.attempt,
        "losses": job.losses,
        "hive_id": job.hive_id,
        "parent_id": job.parent_id,
        "is_parent": job.is_parent,
        "progress": job.progress,
        "size": job.size,
        "note": job.note,
        "error": job.error,
        "result": job.result,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "updated_at": iso(job.updated_at),
    }


def iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stopping(job: Job) -> str | None:
    if job.state in FINAL or job.state == "paused":
        return None
    if job.cancel_requested_at is not None:
        return "cancel"
    return "pause" if job.pause_requested_at is not None else None
