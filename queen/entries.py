"""Entries of a narration stream, checked: a hive is trusted with its own jobs, not with our memory or our types."""

from typing import Any

from queen import strict_json
from shared.narration import MAX_TEXT, WIRE_VERSION, Kind
from shared.redaction import redact

MAX_ENTRY = 64 * 1024
"""Bytes; larger ones are dropped."""
_LATEST = 4e9
"""Seconds since the epoch; nothing is said after the year 2096."""
_UNITS = frozenset({"bytes", "files", "steps"})
_KINDS = frozenset(Kind)


def parse_entry(raw: bytes) -> dict[str, Any] | None:
    """One event as `shared.narration.as_event` makes it; None for what is not one."""
    if len(raw) > MAX_ENTRY:
        return None
    try:
        event = strict_json.loads(raw, mend=True)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("v") != WIRE_VERSION or not _has_head(event):
        return None
    if event["kind"] == Kind.PROGRESS:
        return event if _is_progress(event.get("progress")) else None
    if not _is_count(event.get("seq")):
        return None
    if event["kind"] == Kind.DATA:
        event.pop("text", None)
        return event if isinstance(event.get("data"), dict) else None
    if not isinstance(event.get("text"), str):
        return None
    event["text"] = redact(event["text"][:MAX_TEXT])
    event.pop("data", None)
    return event


def _has_head(event: dict[str, Any]) -> bool:
    kind, at = event.get("kind"), event.get("at")
    return (
        isinstance(kind, str)
        and kind in _KINDS
        and isinstance(event.get("job_id"), str)
        and _is_count(event.get("attempt"))
        and isinstance(at, int | float)
        and 0 <= at <= _LATEST
    )


def _is_progress(progress: Any) -> bool:
    """As `shared.narration.Progress`; whatever else it holds would be shown to everybody, so nothing else may be in it."""
    return (
        isinstance(progress, dict)
        and progress.keys() <= {"done", "total", "unit", "phase", "rate", "eta"}
        and _is_count(progress.get("done"))
        and _is_count(progress.get("total", 0), or_none=True)
        and progress.get("unit") in _UNITS
        and isinstance(progress.get("phase"), str)
        and len(progress["phase"]) <= MAX_TEXT
        and all(_is_number(progress.get(name), or_none=True) for name in ("rate", "eta"))
    )


def _is_count(value: Any, *, or_none: bool = False) -> bool:
    return (or_none and value is None) or (type(value) is int and 0 <= value < 1 << 62)


def _is_number(value: Any, *, or_none: bool = False) -> bool:
    return (or_none and value is None) or type(value) in (int, float)
