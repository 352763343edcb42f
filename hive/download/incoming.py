"""One planned file while it comes in.

::

    NEW ──► OPENING ──► OPEN ──► LANDED ──► DONE
     ▲         │          │  ◄─────┤ a piece is damaged
     │◄────────┘ failed   ▼        ▼
     └───────────── RESTARTING ◄───┘ another version, or a wrong checksum

OPENING: the first answer is awaited, it says size and version. OPEN: any number of segments. LANDED: every
byte is here, the hash is not. The schedule's lock guards all but `part`, `recall`, `prepare` and `reset`.
"""

import hashlib
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Any

from hive.download.answer import Validators
from hive.download.origins import Target
from hive.download.part import Part
from hive.download.piecemap import PieceMap
from hive.download.segment import ENDLESS, Segment
from hive.download.trouble import Trouble
from shared.errors import JobFailed
from shared.plan import PlannedFile

SMALL = 4 << 20
"""Bytes up to which a file has no piece map on disk and is hashed by the thread that fetched it."""
_MIN_PIECE, _MAX_PIECE = 1 << 20, 4 << 20


class Stage(Enum):
    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    LANDED = auto()
    RESTARTING = auto()
    DONE = auto()


class IncomingFile:
    """`state` is the hidden folder; `final` where the verified file goes."""

    def __init__(self, planned: PlannedFile, state: Path, final: Path) -> None:
        self.key = key = hashlib.sha256(planned.path.encode()).hexdigest()[:32]
        self.planned = planned
        self.final = final
        self.part = Part(state / f"{key}.part")
        self.map_path = state / f"{key}.map"
        self.small = planned.size is not None and planned.size <= SMALL
        self.pieces = PieceMap(None if self.small else self.map_path)
        self.trouble = Trouble()
        self.stage = Stage.NEW
        self.size = planned.size
        self.ranges = True
        self.validators = Validators()
        self.target: Target | None = None
        self.redirected = False
        self.gaps: list[tuple[int, int]] = []
        self.active: list[Segment] = []
        self.users = 0
        """Threads that hold the data file; a restart waits until it is zero."""
        self.hashed = 0
        self.best = 0
        """Most bytes ever here: what exceeds it is progress, what repeats is not."""
        self.sha256: str | None = None
        self._remap()

    @property
    def path(self) -> str:
        return self.planned.path

    @property
    def _address(self) -> str:
        """Without the query, where signatures and tokens live."""
        return self.planned.url.split("?", 1)[0]

    @property
    def is_local(self) -> bool:
        return self.planned.url.lower().startswith("file:")

    @property
    def received(self) -> int:
        """Bytes here, with those not yet recorded as pieces."""
        return self.pieces.have + sum(segment.at - segment.landed for segment in self.active)

    @property
    def piece_size(self) -> int:
        return min(max((self.size or 0) >> 10, _MIN_PIECE), _MAX_PIECE)

    def recall(self) -> None:
        """Takes up what an earlier process left of this very file; anything else is forgotten."""
        if self.small:
            return
        if not self.part.path.exists() and self.map_path.exists() and self.final.exists():
            self.final.replace(self.part.path)
        identity = self.pieces.load()
        if identity and self.part.path.exists() and self._is_mine(identity):
            self.size = self.size if self.size is not None else identity["size"]
            if identity["url"] == self._address:
                self.validators = Validators(identity["etag"], identity["modified"])
            self.pieces.clip(min(self.part.path.stat().st_size, self.size or ENDLESS))
            self.best = self.pieces.have
        else:
            self.pieces = PieceMap(self.map_path)
        self._remap()

    def prepare(self) -> None:
        """Opens data file and piece map for writing, fresh or as recalled."""
        if self.part.is_open:
            return
        size = self.part.open()
        if len(self.pieces):
            self.pieces.go_on()
            return
        if size:
            self.part.truncate(0)
        self.pieces.begin(self._identity())

    def reset(self) -> None:
        """Forgets every byte; nobody uses the file any more."""
        if self.part.is_open:
            self.part.truncate(0)
        self.part.close()
        self.pieces.close()
        self.map_path.unlink(missing_ok=True)
        self.pieces = PieceMap(None if self.small else self.map_path)
        self.size = self.planned.size
        self.validators = Validators()
        self.hashed = self.best = 0
        self._remap()

    def close(self, *, sync: bool) -> None:
        """Leaves the partial file for the next process; `sync` also for the next boot, as far as possible."""
        if sync and self.part.is_open and len(self.pieces):
            with suppress(JobFailed, OSError):
                self.part.sync()
                self.pieces.sync()
        self.part.close()
        self.pieces.close()

    def carve(self, span: int) -> Segment | None:
        """The first missing stretch of at most `span` bytes, now active."""
        if not self.gaps:
            return None
        start, end = self.gaps[0]
        cut = min(end, start + span) if self.ranges else end
        self.gaps[:1] = [(cut, end)] if cut < end else []
        return self.activate(Segment(self, start, cut))

    def activate(self, segment: Segment) -> Segment:
        self.active.append(segment)
        self.users += 1
        return segment

    def widen(self, segment: Segment) -> None:
        """The whole file comes in this one answer: the segment takes the gap that follows it."""
        if self.gaps and self.gaps[0][0] == segment.end:
            segment.end = self.gaps.pop(0)[1]

    def learn_size(self, size: int) -> None:
        self.size = size
        self.gaps = [(start, min(end, size)) for start, end in self.gaps if start < size]
        for segment in self.active:
            segment.end = min(segment.end, size)

    def give_back(self, start: int, end: int) -> None:
        if start < end:
            self.gaps = sorted([*self.gaps, (start, end)])

    def missing(self) -> int:
        return sum(end - start for start, end in self.gaps)

    def _remap(self) -> None:
        self.gaps = self.pieces.gaps(ENDLESS if self.size is None else self.size)

    def _identity(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "url": self._address,
            "size": self.size,
            "sha256": self.planned.sha256,
            "etag": self.validators.etag,
            "modified": self.validators.modified,
        }

    def _is_mine(self, identity: dict[str, Any]) -> bool:
        """The same content by its hash; without one the same address, and a version that can be compared."""
        if not {"path", "url", "size", "sha256", "etag", "modified"} <= identity.keys():
            return False
        if self.planned.size is not None and identity["size"] != self.planned.size:
            return False
        if self.planned.sha256 is not None:
            return bool(identity["sha256"] == self.planned.sha256)
        same_place = identity["url"] == self._address
        return bool(same_place and (identity["etag"] or identity["modified"]))
