"""Where a job runs: a pure function over values. It returns the choice and, for every hive, what decided.

Filters in order: online, kind, protocol, operations known, target, capability, not excluded, disk. Then scores: already has the
artifact, has pieces of it, free disk, load. The first filter that fails is the verdict, with the number that would make it pass.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from shared.timing import PROTOCOL

AVAILABLE = "available"
DISK_FACTOR = 1.05
"""Free disk wanted for a job, as a share of the bytes it will write."""


@dataclass(frozen=True)
class Candidate:
    """A hive as placement sees it. Bytes; `reserved` is what running and placed jobs will still write."""

    id: str
    name: str
    kind: str
    online: bool
    protocol: int
    operations: frozenset[str]
    capabilities: frozenset[str]
    disk_free: int
    reserved: int
    load: int
    """Jobs running or placed there."""
    held: str | None = None
    """Status that the wanted artifact has there; None when it does not."""


@dataclass(frozen=True)
class Wanted:
    """What a job needs. `size` in bytes, None while unknown; `done` of them lie where its pieces are."""

    operation: str
    size: int | None = None
    done: int = 0
    hive: str | None = None
    capability: str | None = None
    excluded: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """`filter` is the one that failed, None when the hive fits; then `score` says how well."""

    hive_id: str
    name: str
    fits: bool
    filter: str | None = None
    reason: str | None = None
    need: float | str | None = None
    have: float | str | None = None
    score: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Decision:
    choice: str | None
    verdicts: list[Verdict]

    def as_dict(self) -> dict[str, Any]:
        return {"choice": self.choice, "hives": [verdict.as_dict() for verdict in self.verdicts]}


def place(wanted: Wanted, candidates: list[Candidate]) -> Decision:
    verdicts = [judge(wanted, candidate) for candidate in candidates]
    fitting = [verdict for verdict in verdicts if verdict.fits]
    best = max(fitting, key=lambda verdict: (verdict.score or 0.0, verdict.hive_id), default=None)
    return Decision(best.hive_id if best else None, verdicts)


def judge(wanted: Wanted, hive: Candidate, *, ignore_online: bool = False) -> Verdict:
    """The first filter that `hive` fails, or its score."""

    def no(
        name: str, reason: str, need: float | str | None = None, have: float | str | None = None
    ) -> Verdict:
        return Verdict(hive.id, hive.name, False, name, reason, need, have)

    if not hive.online and not ignore_online:
        return no("online", "It has not been heard lately.", "online", "offline")
    if hive.kind != "hive":
        return no("kind", "It is the queen's own worker, not a machine for models.", "hive", hive.kind)
    if hive.protocol != PROTOCOL:
        return no(
            "protocol", "Its version of rbee speaks another protocol; update it.", PROTOCOL, hive.protocol
        )
    if wanted.operation not in hive.operations:
        return no(
            "operations",
            f"Its version of rbee does not know {wanted.operation}; update it.",
            wanted.operation,
        )
    if wanted.hive is not None and wanted.hive != hive.id:
        return no("target", "The job is meant for another hive.", wanted.hive, hive.id)
    if wanted.capability is not None and wanted.capability not in hive.capabilities:
        return no(
            "capability",
            f"It has no {wanted.capability}.",
            wanted.capability,
            ", ".join(sorted(hive.capabilities)),
        )
    if hive.id in wanted.excluded:
        return no("excluded", wanted.excluded[hive.id])
    if wanted.size is not None and hive.held != AVAILABLE:
        left = wanted.size - (wanted.done if hive.held is not None else 0)
        room, need = hive.disk_free - hive.reserved, int(left * DISK_FACTOR)
        if room < need:
            return no("disk", "It has not enough free disk.", need, max(room, 0))
    return Verdict(hive.id, hive.name, True, score=_score(hive))


def _score(hive: Candidate) -> float:
    """Holding the artifact beats holding pieces, pieces beat an idle hive, and an idle hive beats a roomy one."""
    room = max(hive.disk_free - hive.reserved, 0)
    roominess = room / (room + 1e12)
    held = 100.0 if hive.held == AVAILABLE else 50.0 if hive.held is not None else 0.0
    return round(held + 10.0 / (1 + hive.load) + roominess, 3)
