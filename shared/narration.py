"""Narration: what a job says while it runs.

A domain function yields `Line`, `Log`, `Progress` and `Data`; on the wire each is an event
`{v, job_id, attempt, seq, kind, at, text?, progress?, data?}`. `progress` has no seq and is never a row.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

WIRE_VERSION = 1
MAX_TEXT = 8192
"""Characters of one line or log text; longer ones are cut with an ellipsis."""


class Kind(StrEnum):
    LINE = "line"
    LOG = "log"
    PROGRESS = "progress"
    DATA = "data"


SEQUENCED = frozenset({Kind.LINE, Kind.LOG, Kind.DATA})


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence for a person: present tense, the object named, a number when there is one."""

    text: str


@dataclass(frozen=True, slots=True)
class Log:
    """One line of a child's output."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Absolute progress. `rate` in units a second, `eta` in seconds, both None while unknown; `total` None likewise."""

    done: int
    total: int | None
    unit: Literal["bytes", "files", "steps"]
    phase: str
    rate: float | None = None
    eta: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Data:
    """Something structured, for programs."""

    data: dict[str, Any]


Said = Line | Log | Progress | Data


def as_event(said: Said, *, job_id: str, attempt: int, seq: int | None, at: float) -> dict[str, Any]:
    """The wire form; `at` is seconds since the epoch."""
    event: dict[str, Any] = {"v": WIRE_VERSION, "job_id": job_id, "attempt": attempt, "at": round(at, 3)}
    match said:
        case Line(text) | Log(text):
            event["kind"] = Kind.LINE if isinstance(said, Line) else Kind.LOG
            event["text"] = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
        case Progress():
            event["kind"] = Kind.PROGRESS
            event["progress"] = said.as_dict()
        case Data(data):
            event["kind"] = Kind.DATA
            event["data"] = data
    if seq is not None:
        event["seq"] = seq
    return event
