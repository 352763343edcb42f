"""How long to wait before the next try."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
LONGEST_RETRY_AFTER = 600.0
"""Seconds; a host that asks for more is asked again after this."""


def backoff(failures: int, first: float = FIRST_DELAY) -> float:
    """Seconds before try number `failures` + 1: doubles from `first` to 60 s, ± 30 % to part the fleet."""
    delay = min(first * 2.0 ** max(failures - 1, 0), LONGEST_DELAY)
    return delay * random.uniform(0.7, 1.3)  # noqa: S311 - no secret hangs on it


def retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110 §10.2.3), at most LONGEST_RETRY_AFTER."""
    text = (header or "").strip()
    if not text:
        return None
    try:
        seconds = float(int(text))
    except ValueError:
        seconds = _until(text, now or datetime.now(UTC))
    return None if seconds < 0 else min(seconds, LONGEST_RETRY_AFTER)


def _until(date: str, now: datetime) -> float:
    """Seconds until an HTTP date, 0 for one that is past, -1 for nonsense."""
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return -1.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def seconds_in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0.1):.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
