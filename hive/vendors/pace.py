"""How often and how patiently a vendor is asked again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds: `first` before the second attempt, doubled up to `longest`; `asked` caps a Retry-After."""

    attempts: int = 6
    first: float = 1.0
    longest: float = 30.0
    asked: float = 330.0

    def delay(self, tried: int, retry_after: float | None) -> float:
        """The wait after `tried` attempts; not less than asked for, and spread so that hives do not meet."""
        if retry_after is not None:
            return min(retry_after, self.asked) + random.uniform(0, self.first)  # noqa: S311 - no secret
        return min(self.first * 2.0 ** (tried - 1), self.longest) * random.uniform(0.5, 1.0)  # noqa: S311
