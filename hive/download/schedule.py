"""Who fetches what next: files in the plan's order, gaps from the front, and the tail of whoever is slow."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hive.download.flow import Flow
from hive.download.incoming import IncomingFile, Stage
from hive.download.lifeline import Lifeline
from hive.download.piecemap import Piece
from hive.download.segment import ENDLESS, Segment

MAX_LARGE = 4
"""Large files open at once, those included whose hash is still being computed."""
_MIN_SPAN, _MAX_SPAN = 8 << 20, 1 << 30
_MIN_SHARE = 2 << 20
_WAITS_PER_SPAN = 25
"""A request should last this many times the wait for its first byte, so that waiting costs 4 %."""
_WORTH_STEALING = 0.2
"""Seconds; a tail that ends sooner is left to its owner."""
_RECOVERY = 60.0
"""Seconds after which one more connection is tried where the host had asked for fewer."""


@dataclass(slots=True)
class Pace:
    """What one connection has shown: bytes a second, and seconds until the first byte of an answer."""

    rate: float = 0.0
    wait: float = 0.0

    def span(self) -> int:
        return int(min(max(self.rate * self.wait * _WAITS_PER_SPAN, _MIN_SPAN), _MAX_SPAN))


class Schedule:
    """Thread-safe; holds its lock for moments only, never over I/O: a stop has to get it."""

    def __init__(self, files: Sequence[IncomingFile], connections: int, lifeline: Lifeline) -> None:
        lock = threading.Lock()
        self.lock = threading.Condition(lock)
        self._pieces = threading.Condition(lock)
        self._lifeline = lifeline
        self._fresh = deque(files)
        self._begun: list[IncomingFile] = []
        self._done_bytes = 0
        self._active = 0
        self.connections = connections
        self.limit = connections
        self.not_before = 0.0
        self.limited_at = 0.0
        self.any_success = False
        self.flow = Flow()

    def next(self, pace: Pace) -> Segment | None:
        """The next stretch to fetch, None when every file is done. Blocks; raises Cut."""
        with self.lock:
            while True:
                self._lifeline.check()
                if not self._fresh and not self._begun:
                    return None
                segment = self._choose(pace, time.monotonic())
                if segment:
                    self._active += 1
                    return segment
                self.lock.wait(self._nap(time.monotonic()))

    def piece_at(self, file: IncomingFile, at: int) -> Piece | None:
        """The piece that starts at `at`, waiting for it; None when the file ends there or starts again."""
        with self.lock:
            while True:
                self._lifeline.check()
                if file.stage is Stage.RESTARTING or (file.stage is Stage.LANDED and at == file.size):
                    return None
                if piece := file.pieces.get(at):
                    return piece
                self._pieces.wait()

    def advance(self, segment: Segment, count: int) -> int:
        """Takes `count` bytes off the network; how many of them the segment still wants."""
        with self.lock:
            self._lifeline.check()
            file = segment.file
            if file.stage is Stage.RESTARTING:
                return 0
            kept = min(count, segment.end - segment.at)
            segment.at += kept
            self.flow.add(kept, time.monotonic())
            received = file.received
            if received > file.best:
                file.best = received
                file.trouble.progress()
            return kept

    def landed(self, segment: Segment, length: int, crc: int) -> None:
        """The next `length` bytes of the segment are in the data file."""
        with self.lock:
            if segment.file.stage is Stage.RESTARTING:
                return
            piece = segment.file.pieces.add(segment.landed, length, crc)
            segment.landed += length
            self._pieces.notify_all()
        segment.file.pieces.note(piece)

    def release(self, segment: Segment) -> bool:
        """Hands the segment in, done or not. True for the one caller that brought the file's last byte."""
        with self.lock:
            file = segment.file
            file.active.remove(segment)
            self._active -= 1
            complete = False
            if file.stage is not Stage.RESTARTING:
                file.give_back(segment.landed, segment.end)
            if file.stage is Stage.OPENING:
                file.stage = Stage.NEW
            elif file.stage is Stage.OPEN and not file.gaps and not file.active:
                file.stage, complete = Stage.LANDED, True
            self.wake()
            return complete

    def leave(self, file: IncomingFile) -> None:
        """A thread lets go of the data file; the last one out rebuilds a file that starts again."""
        with self.lock:
            file.users -= 1
            if file.users or file.stage is not Stage.RESTARTING:
                return
        file.reset()
        with self.lock:
            file.stage = Stage.NEW
            self.wake()

    def opened(self, file: IncomingFile) -> None:
        with self.lock:
            file.stage = Stage.OPEN
            self.any_success = True
            if not file.small:
                self.flow.begin(time.monotonic())
            self.wake()

    def restart(self, file: IncomingFile) -> None:
        """All of this file is void; its connections are cut, its threads let go. Call with the lock held."""
        file.stage = Stage.RESTARTING
        for segment in file.active:
            segment.end = segment.at
            if segment.connection:
                segment.connection.abort()
        self.wake()

    def distrust(self, file: IncomingFile, piece: Piece) -> None:
        """The piece is not what its record says; it is missing again."""
        file.pieces.note_loss(piece)
        with self.lock:
            file.pieces.drop(piece)
            file.give_back(piece.start, piece.end)
            if file.stage is Stage.LANDED:
                file.stage = Stage.OPEN
            self.wake()

    def finish(self, file: IncomingFile, sha256: str) -> None:
        with self.lock:
            file.stage, file.sha256 = Stage.DONE, sha256
            self._begun.remove(file)
            self._done_bytes += file.size or 0
            self.wake()

    def wake(self) -> None:
        """Call with the lock held."""
        self.lock.notify_all()
        self._pieces.notify_all()

    def counts(self) -> tuple[int, int, bool]:
        """Bytes received, bytes hashed, and whether bytes are still to come."""
        with self.lock:
            received = self._done_bytes + sum(file.received for file in self._begun)
            hashed = self._done_bytes + sum(file.hashed for file in self._begun)
            coming = bool(self._fresh) or any(file.stage is not Stage.LANDED for file in self._begun)
            return received + sum(file.pieces.have for file in self._fresh), hashed, coming

    def others_active(self, segment: Segment) -> bool:
        """Whether another connection is getting bytes. Call with the lock held."""
        return self._active > 1 or (self._active == 1 and segment not in segment.file.active)

    def _choose(self, pace: Pace, now: float) -> Segment | None:
        if self.limit < self.connections and now - self.limited_at > _RECOVERY:
            self.limit, self.limited_at = self.limit + 1, now
        if self._active >= self.limit or now < self.not_before:
            return None
        for file in self._begun:
            if now >= file.trouble.not_before and (segment := self._from(file, pace, now)):
                return segment
        if self._fresh and self._may_open(self._fresh[0]):
            file = self._fresh.popleft()
            self._begun.append(file)
            return self._from(file, pace, now)
        return None if self._is_fast(now) else self._steal(pace, now)

    def _from(self, file: IncomingFile, pace: Pace, now: float) -> Segment | None:
        if file.stage is Stage.NEW:
            file.stage = Stage.OPENING
            return file.carve(self._span(file, pace)) or file.activate(Segment(file, 0, 0))
        if file.stage is Stage.OPEN and (not file.active or (file.ranges and not self._is_fast(now))):
            return file.carve(self._span(file, pace))
        return None

    def _is_fast(self, now: float) -> bool:
        return self._active > 0 and self.flow.is_enough(self._active, now)

    def _span(self, file: IncomingFile, pace: Pace) -> int:
        """Long enough to make waiting cheap, short enough that all end together and the hash can follow."""
        share = max(file.missing() // self.limit, _MIN_SHARE)
        return min(pace.span(), share)

    def _may_open(self, file: IncomingFile) -> bool:
        return file.small or sum(not begun.small for begun in self._begun) < MAX_LARGE

    def _steal(self, pace: Pace, now: float) -> Segment | None:
        """A part of the slowest tail for a faster connection; all of it where its owner merely drips."""
        tails = [
            (segment.left / max(segment.rate(now), 1.0), segment)
            for file in self._begun
            if file.stage is Stage.OPEN and file.ranges
            for segment in file.active
            if segment.connection and segment.end < ENDLESS
        ]
        if not tails:
            return None
        seconds, victim = max(tails, key=lambda tail: tail[0])
        if seconds < _WORTH_STEALING or now - victim.since < min(1.0, seconds / 4):
            return None
        theirs = victim.rate(now)
        mine = pace.rate or theirs
        drips = theirs * 8 < mine and seconds > 2
        if not drips and victim.left < 2 * _MIN_SHARE:
            return None
        cut = victim.at if drips else victim.at + int(victim.left * theirs / (theirs + mine))
        segment = victim.file.activate(Segment(victim.file, cut, victim.end))
        victim.end = cut
        if drips and victim.connection:
            victim.connection.abort()
        return segment

    def _nap(self, now: float) -> float:
        """Seconds until something may change without anybody saying so."""
        times = [file.trouble.not_before - now for file in self._begun] + [self.not_before - now]
        return min(
            [
                0.05 if self._active < self.limit else 1.0,
                *(seconds + 0.001 for seconds in times if seconds > 0),
            ]
        )
