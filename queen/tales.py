"""What is told after COMMIT: to browsers, to a hive that runs the job, to a hive that should claim it."""

from dataclasses import dataclass
from typing import Any

from queen.database import Tale


@dataclass(frozen=True)
class Live(Tale):
    """Committed events in id order; `prev` is the id before the first, so that a reader sees a gap."""

    events: list[dict[str, Any]]
    prev: int


@dataclass(frozen=True)
class LiveProgress(Tale):
    """Progress of one job: no id, never replayed."""

    event: dict[str, Any]


@dataclass(frozen=True)
class LiveHive(Tale):
    """A hive came, went or changed: pages fetch its card again."""

    hive_id: str


@dataclass(frozen=True)
class Ring(Tale):
    """A Celery message: a hint that the job may be claimed."""

    operation: str
    queue: str
    job_id: str
    attempt: int


@dataclass(frozen=True)
class Control(Tale):
    """A hint to the hive that runs the attempt; the heartbeat's answer says the same, later and surely."""

    hive_id: str
    word: str
    job_id: str
    attempt: int
