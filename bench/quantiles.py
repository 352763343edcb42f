"""Medians and percentiles."""

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (least to greatest)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def milliseconds(seconds: Sequence[float]) -> str:
    """`p50 / p95 / p99 / worst`, in milliseconds."""
    shown = [percentile(seconds, share) * 1000 for share in (0.5, 0.95, 0.99, 1.0)]
    return " / ".join(f"{value:.0f}" for value in shown) + " ms"
