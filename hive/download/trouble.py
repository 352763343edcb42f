"""What went wrong with one file so far, and when it may be asked for again."""

import time
from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """Times are of the monotonic clock. Eight connections that break together are one incident, not eight."""

    failures: int = 0
    """Incidents in a row without a new byte."""
    busy: int = 0
    not_before: float = 0.0
    incident_at: float = 0.0
    asked_again: int = 0
    """How often an expired link was resolved anew without a new byte."""
    refused: int = 0
    """How often a host that had given bytes refused without giving a new one."""
    relinked_at: float = 0.0
    restarts: int = 0
    mismatches: int = 0

    def is_new(self, since: float) -> bool:
        """Whether a request begun at `since` can tell something that the last incident did not."""
        return since >= self.incident_at

    def add(self, delay: float, *, blocks: bool) -> None:
        """`blocks`: nobody else is getting bytes of this file, so nobody tries before the delay is over."""
        self.failures += 1
        self.incident_at = time.monotonic()
        if blocks:
            self.not_before = self.incident_at + delay

    def progress(self) -> None:
        self.failures = self.busy = self.asked_again = self.refused = 0
