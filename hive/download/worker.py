"""One thread with one stretch of the file at a time: asks, receives, writes, records."""

import time
import zlib
from collections.abc import Callable
from contextlib import suppress

from hive.disk import Reservation
from hive.download.answer import Answer, Beyond, Part, Verdict, Whole
from hive.download.asking import Asker, agreed_size
from hive.download.bandwidth import Bandwidth
from hive.download.faults import Changed, Fault, Interrupted, wrong_length
from hive.download.incoming import IncomingFile, Stage
from hive.download.lifeline import Lifeline
from hive.download.recovery import Recovery
from hive.download.schedule import Pace, Schedule
from hive.download.segment import ENDLESS, Segment

BUFFER = 1 << 20
_CHECKPOINT_AFTER = 2.0
"""Seconds after which even a short piece is recorded."""
_CHECKPOINT_BYTES = 128 << 10


class Worker:
    """`opened` is called with each file whose first answer came in, `landed` with each complete one."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        asker: Asker,
        recovery: Recovery,
        lifeline: Lifeline,
        bandwidth: Bandwidth,
        reservation: Reservation,
        opened: Callable[[IncomingFile], None],
        landed: Callable[[IncomingFile, memoryview], None],
    ) -> None:
        self._schedule = schedule
        self._asker = asker
        self._recovery = recovery
        self._lifeline = lifeline
        self._bandwidth = bandwidth
        self._reservation = reservation
        self._on_opened = opened
        self._on_landed = landed
        self._pace = Pace()
        self._buffer = memoryview(bytearray(BUFFER))

    def run(self) -> None:
        """Until every file is done."""
        try:
            while segment := self._schedule.next(self._pace):
                self._fetch(segment)
        finally:
            self._asker.close()

    def _fetch(self, segment: Segment) -> None:
        rest = 0.0
        complete = False
        try:
            try:
                self._stream(segment)
            except Fault as fault:
                self._lifeline.check()
                self._asker.drop(segment)
                self._pace = Pace()
                rest = self._recovery.after(segment, fault)
            finally:
                complete = self._schedule.release(segment)
            if complete and segment.file.small:
                self._on_landed(segment.file, self._buffer)
        finally:
            self._schedule.leave(segment.file)
        if rest:
            self._lifeline.wait(rest)

    def _stream(self, segment: Segment) -> None:
        file = segment.file
        if segment.left == 0:
            self._open(file, file.size)
            return
        asked_at = time.monotonic()
        answer, verdict = self._asker.ask(segment)
        self._pace.wait = time.monotonic() - asked_at
        skip = self._accept(segment, answer, verdict)
        if segment.left > 0:
            self._skip(answer, skip)
            self._receive(segment, answer)
            self._refuse_more(segment, answer)
        elapsed = time.monotonic() - asked_at - self._pace.wait
        self._pace.rate = (segment.at - segment.start) / max(elapsed, 1e-3)

    def _accept(self, segment: Segment, answer: Answer, verdict: Verdict) -> int:
        """Opens the file at its first answer; how many bytes of the body lie before the segment."""
        file = segment.file
        size = agreed_size(segment, answer, verdict)
        opening = file.stage is Stage.OPENING
        if isinstance(verdict, Whole):
            self._take_whole(segment, verdict)
        with self._schedule.lock:
            if not isinstance(verdict, Beyond) and not (file.validators.etag or file.validators.modified):
                file.validators = verdict.validators if isinstance(verdict, Part | Whole) else file.validators
            if size is not None and file.size is None:
                file.learn_size(size)
            file.ranges = file.ranges or isinstance(verdict, Part)
            if isinstance(verdict, Part) and file.size is not None and verdict.last + 1 < segment.end:
                file.give_back(verdict.last + 1, segment.end)
                segment.end = verdict.last + 1
        if opening:
            self._open(file, file.size)
        return segment.start if isinstance(verdict, Whole) else 0

    def _take_whole(self, segment: Segment, whole: Whole) -> None:
        """A host that sends all of the file for a part of it: one connection, skipping what is here."""
        file = segment.file
        with self._schedule.lock:
            if len(file.active) > 1:
                raise Interrupted("the host sends the whole file for a part of it")
            file.ranges = False
            known = file.planned.sha256 is not None or file.validators.agree(whole.validators)
            if segment.start and not known:
                raise Changed("the host sends the whole file and does not say which version it is")
            file.widen(segment)

    def _open(self, file: IncomingFile, size: int | None) -> None:
        file.prepare()
        if size is not None:
            if file.planned.size is None:
                self._reservation.grow(max(0, size - file.part.allocated()))
            file.part.allocate(size, self._reservation)
        self._schedule.opened(file)
        self._on_opened(file)

    def _skip(self, answer: Answer, count: int) -> None:
        while count:
            got = answer.body.readinto(self._buffer[:count])
            if got == 0:
                raise Interrupted(f"{answer.host} sends less than before")
            self._bandwidth.spend(got, self._lifeline.wait)
            count -= got

    def _receive(self, segment: Segment, answer: Answer) -> None:
        """Body to disk; a piece is recorded whenever it is full, has lasted long enough, or the body ends."""
        file, part = segment.file, segment.file.part
        full = file.piece_size
        length, crc, since = 0, 0, time.monotonic()
        try:
            while segment.left > 0:
                count = answer.body.readinto(self._buffer[: self._bandwidth.read_size(BUFFER)])
                if count == 0:
                    self._ended(segment, answer)
                    break
                at = segment.at
                kept = self._schedule.advance(segment, count)
                if kept <= 0:
                    break
                view = self._buffer[:kept]
                part.write(view, at)
                crc = zlib.crc32(view, crc)
                length += kept
                now = time.monotonic()
                if length >= full or (length >= _CHECKPOINT_BYTES and now - since > _CHECKPOINT_AFTER):
                    self._land(segment, length, crc)
                    length, crc, since = 0, 0, now
                self._bandwidth.spend(count, self._lifeline.wait)
        finally:
            if length:
                self._land(segment, length, crc)

    def _land(self, segment: Segment, length: int, crc: int) -> None:
        self._schedule.landed(segment, length, crc)
        if segment.file.part.is_sparse:
            self._reservation.taken(length)

    def _refuse_more(self, segment: Segment, answer: Answer) -> None:
        """A stream that never told its length must end where the plan says."""
        file = segment.file
        if answer.body.length is not None or segment.left > 0 or segment.end != file.planned.size:
            return
        with suppress(Interrupted):
            if answer.body.readinto(self._buffer[:1]):
                raise wrong_length(file.path, planned=segment.end, seen=None)

    def _ended(self, segment: Segment, answer: Answer) -> None:
        """The body is over: right only where nobody had told how long the file is."""
        if segment.end < ENDLESS:
            raise Interrupted(f"{answer.host} ends the file early")
        with self._schedule.lock:
            segment.file.learn_size(segment.at)
