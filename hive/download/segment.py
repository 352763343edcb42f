"""A segment: the stretch of a file that one connection fetches with one request."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hive.download.connection import Connection
    from hive.download.incoming import IncomingFile

ENDLESS = 1 << 62
"""The end of a file whose size nobody has told yet."""


@dataclass(slots=True, eq=False)
class Segment:
    """Bytes `start` to `end` of `file`; `end` may move down while another connection takes the rest.

    `at`: taken from the network so far; `landed`: recorded as pieces. The schedule's lock guards it.
    """

    file: "IncomingFile"
    start: int
    end: int
    at: int = field(init=False)
    landed: int = field(init=False)
    since: float = field(default_factory=time.monotonic)
    asked: int = 0
    """The end that was asked for; `end` may be lower by the time of the answer."""
    connection: "Connection | None" = None

    def __post_init__(self) -> None:
        self.at = self.landed = self.start

    @property
    def left(self) -> int:
        return self.end - self.at

    def rate(self, now: float) -> float:
        """Bytes a second since the segment was handed out."""
        return (self.at - self.start) / max(now - self.since, 1e-3)
