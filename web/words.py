"""Values as people read them: bytes, rates, times. The filters of the templates."""

from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_PHASES = {"download": "downloading", "verify": "verifying"}
_AGO = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))


def size(value: float | None) -> str:
    """Bytes in decimal units, as shops sell disks: `4.7 GB`, `512 B`; `?` while unknown."""
    if value is None:
        return "?"
    number, unit = float(value), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    whole = unit == 0 or number >= 99.95
    return f"{number:.0f} {_UNITS[unit]}" if whole else f"{number:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """At most two units: `45 s`, `2 min 10 s`, `3 h 5 min`, `2 d 4 h`."""
    if seconds is None:
        return "?"
    left = max(round(seconds), 0)
    for length, unit, smaller, word in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if left >= length:
            rest = left % length // smaller
            return f"{left // length} {unit} {rest} {word}" if rest else f"{left // length} {unit}"
    return f"{left} s"


def amount(progress: dict[str, Any]) -> str:
    """`1.2 of 4.7 GB`, `3 of 7 steps`, or only what is done while the total is unknown."""
    done, total, unit = progress.get("done") or 0, progress.get("total"), progress.get("unit")
    if unit != "bytes":
        return f"{done} of {total} {unit}" if total is not None else f"{done} {unit}"
    if total is None:
        return size(done)
    number, _, scale = size(done).partition(" ")
    whole = size(total)
    return f"{number} of {whole}" if whole.endswith(f" {scale}") else f"{size(done)} of {whole}"


def rate(progress: dict[str, Any]) -> str | None:
    """`30.1 MB/s`; None while unknown."""
    value = progress.get("rate")
    if not value:
        return None
    return f"{size(value)}/s" if progress.get("unit") == "bytes" else f"{value:.1f} {progress.get('unit')}/s"


def percent(progress: dict[str, Any]) -> int | None:
    """Rounded down, so that 100 is said of nothing unfinished; None while the total is unknown."""
    total = progress.get("total")
    return int((progress.get("done") or 0) * 100 / total) if total else None


def phase(name: str | None) -> str:
    return _PHASES.get(name or "", (name or "").replace("_", " "))


def ago(iso: str | None, now: datetime | None = None) -> str:
    """`just now`, `5 minutes ago`, `yesterday`."""
    if not iso:
        return "never"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(iso)).total_seconds()
    if seconds < 45:
        return "just now"
    for length, unit in _AGO:
        if (count := round(seconds / length)) >= 1:
            if unit == "day" and count == 1:
                return "yesterday"
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "1 minute ago"


def when(iso: str | None) -> Markup:
    """A `<time>` that says how long ago; the exact time is its title, and the browser keeps it true."""
    if not iso:
        return Markup('<span class="quiet">never</span>')
    exact = iso[:19].replace("T", " ")
    return Markup('<time datetime="{}" title="{} UTC" data-ago>{}</time>').format(iso, exact, ago(iso))


def clock(iso: str) -> Markup:
    """A `<time>` with the time of day, in UTC until the browser says it in its own zone."""
    exact = iso[:19].replace("T", " ")
    return Markup('<time datetime="{}" title="{} UTC" data-clock>{}</time>').format(iso, exact, iso[11:19])


def seconds_between(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def install(environment: Environment) -> None:
    environment.filters.update(
        size=size,
        duration=duration,
        amount=amount,
        rate=rate,
        percent=percent,
        phase=phase,
        when=when,
        clock=clock,
    )
    environment.globals["seconds_between"] = seconds_between
