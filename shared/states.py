"""States of a job and the legal moves between them.

::

                    claim                     outcome
    POST ──► queued ─────► running ──────────────────────► completed
               ▲ │ │        │ │ │ └──────────────────────► failed ─────┐
               │ │ └────────┼─┼─┴──── cancel ────────────► cancelled ──┤
               │ └── pause ─┼─┴─ pause ─► paused ─ cancel ─┘           │
               │            │              │                           │
               ├── loss, release           │                           │
               ├───────────── resume ──────┘                           │
               └───────────── retry ───────────────────────────────────┘

`queen/jobs.py` is the only writer. "cancelling", "stalled", "offline" and "late" are derived from timestamps.
"""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING})
RETRYABLE = frozenset({JobState.FAILED, JobState.CANCELLED})

MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.PAUSED, *FINAL}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}


class Outcome(StrEnum):
    """What a hive reports at the end of an attempt; `released` hands the job back without counting a loss."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RELEASED = "released"
