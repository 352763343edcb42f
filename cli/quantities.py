"""Bytes, times and ids as people read them."""

from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float | None) -> str:
    """Decimal units, as disks are sold: `4.7 GB`, `512 B`; `?` while unknown."""
    if count is None:
        return "?"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {_UNITS[unit]}"


def share(done: float, total: float | None) -> str:
    """`1.2 of 4.7 GB`, `12 MB` while the total is unknown."""
    if total is None:
        return size(done)
    whole, part = size(total), size(done)
    return f"{part.split()[0]} of {whole}" if part.split()[1] == whole.split()[1] else f"{part} of {whole}"


def duration(seconds: float) -> str:
    """`8 s`, `1:05`, `2:03:04`, `3 days`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02.0f}"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}:{minutes:02}:{seconds:02.0f}"
    return f"{hours // 24} days"


def ago(iso: str | None, now: datetime | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`; `never` of None."""
    if iso is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(iso)).total_seconds()
    if seconds < 10:
        return "just now"
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit:.0f} {word} ago"
    return f"{seconds // 86400:.0f} days ago"


def short(job_id: str) -> str:
    """The first eight digits of a job's id, which every command takes."""
    return job_id.removeprefix("job-")[:8]
