"""The recorder: narration streams → rows and cursors in one commit → the live channel. Exactly one runs at a time.

It accepts only seq = last + 1 of the attempt that the stream's hive claimed: repeats, strangers and gaps leave no row; what a
broker lost comes again from the hive's spool.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from sqlalchemy import update
from sqlmodel import col, select

from queen import events, jobs
from queen.database import Database, Transaction
from queen.entries import parse_entry
from queen.events import NewEvent
from queen.rows import Cursor, Hive, Job
from queen.tales import LiveProgress
from shared.narration import SEQUENCED, Kind
from shared.routing import narration_stream
from shared.states import JobState

log = logging.getLogger(__name__)

BLOCK = 1.0
"""Seconds one read waits; also how soon a new hive's stream is read."""
COUNT = 1000
"""Entries of one stream in one batch."""
PROGRESS_TO_ROW = 1.0
"""Seconds between two writes of one job's progress into its row; the live channel has every one."""
TRIM_EVERY = 5.0
"""Seconds between two trims of the streams."""
JOBS = 500
"""Jobs looked up by one query."""

_Entries = list[dict[str, Any]]


class SteppedDown(RuntimeError):
    """Somebody else moved a cursor: this recorder is not the only one, and ends."""


@dataclass
class _Batch:
    """What was read from one hive's stream."""

    hive_id: str
    from_id: str
    to_id: str
    entries: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._cursors: dict[str, str] = {}
        self._progress_written: dict[str, float] = {}
        self._trimmed_at = 0.0

    @property
    def has_streams(self) -> bool:
        return bool(self._cursors)

    def load_cursors(self) -> None:
        """Reads where to go on; for new hives from the beginning of their stream. Call again when the fleet changes."""
        with self._database.read() as session:
            known = {row.hive_id: row.stream_id for row in session.exec(select(Cursor))}
            hive_ids = list(session.exec(select(Hive.id).where(col(Hive.removed_at).is_(None))))
        missing = [hive_id for hive_id in hive_ids if hive_id not in known]
        if missing:
            with self._database.write() as tx:
                for hive_id in missing:
                    tx.session.merge(Cursor(hive_id=hive_id))
        self._cursors = {hive_id: known.get(hive_id, "0-0") for hive_id in hive_ids}

    def rewind_lost_streams(self) -> None:
        """A broker that was emptied may number its entries from below the cursor: then read from the beginning."""
        pipe = self._redis.pipeline(transaction=False)
        hive_ids = list(self._cursors)
        for hive_id in hive_ids:
            pipe.xrevrange(narration_stream(hive_id), count=1)
        for hive_id, newest in zip(hive_ids, pipe.execute(), strict=True):
            cursor = self._cursors[hive_id]
            if newest and _key(newest[0][0].decode()) < _key(cursor):
                log.warning("action=rewind hive=%s", hive_id)
                with self._database.write() as tx:
                    self._move_cursor(tx, hive_id, cursor, "0-0")
                self._cursors[hive_id] = "0-0"

    def step(self, block: float = BLOCK) -> int:
        """Reads once, records what came and returns how many entries that were. Raises SteppedDown, RedisError."""
        if not self._cursors:
            return 0
        streams: dict[Any, Any] = {
            narration_stream(hive_id): cursor for hive_id, cursor in self._cursors.items()
        }
        read = self._redis.xread(streams, count=COUNT, block=max(int(block * 1000), 1))
        if not read:
            return 0
        batches = [self._batch(name.decode(), entries) for name, entries in _pairs(read)]
        self.record(batches)
        self._trim()
        return sum(len(batch.entries) for batch in batches)

    def _trim(self) -> None:
        """Lets the broker forget what is recorded, once in a while."""
        if time.monotonic() - self._trimmed_at < TRIM_EVERY:
            return
        self._trimmed_at = time.monotonic()
        pipe = self._redis.pipeline(transaction=False)
        for hive_id, cursor in self._cursors.items():
            pipe.xtrim(narration_stream(hive_id), minid=cursor, approximate=True)
        pipe.execute()

    def record(self, batches: list[_Batch]) -> None:
        """Rows and cursors in one commit."""
        now = time.time()
        with self._database.write() as tx:
            for batch in batches:
                self._move_cursor(tx, batch.hive_id, batch.from_id, batch.to_id)
            said = _by_speaker(batches)
            parents = set()
            for job in _locked(tx, said):
                self._record_job(tx, job, said[job.id, str(job.hive_id)], now)
                if job.ended and job.parent_id:
                    parents.add(job.parent_id)
        for batch in batches:
            self._cursors[batch.hive_id] = batch.to_id
        for parent_id in parents:
            self._end_parent(parent_id, now)

    def _end_parent(self, parent_id: str, now: float) -> None:
        """In a transaction of its own: a parent is locked before its children."""
        with self._database.write() as tx:
            jobs.end_if_told(tx, jobs.get(tx, parent_id), now)

    def _batch(self, stream: str, read: list[tuple[bytes, dict[bytes, bytes]]]) -> _Batch:
        hive_id = stream.rpartition(":")[2]
        parsed = [event for _, fields in read if (event := parse_entry(fields.get(b"e", b""))) is not None]
        return _Batch(hive_id, self._cursors[hive_id], read[-1][0].decode(), parsed)

    @staticmethod
    def _move_cursor(tx: Transaction, hive_id: str, from_id: str, to_id: str) -> None:
        moved = tx.session.execute(
            update(Cursor)
            .where(col(Cursor.hive_id) == hive_id, col(Cursor.stream_id) == from_id)
            .values(stream_id=to_id)
        )
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            raise SteppedDown(f"the cursor of {hive_id} was moved by another recorder")

    def _record_job(self, tx: Transaction, job: Job, said: _Entries, now: float) -> None:
        accepted = list(_accept(job, said))
        events.append(tx, accepted)
        self._take_progress(tx, job, said, now)
        if accepted:
            jobs.end_if_told(tx, job, now)

    def _take_progress(self, tx: Transaction, job: Job, said: _Entries, now: float) -> None:
        told = [e for e in said if e["kind"] == Kind.PROGRESS and e["attempt"] == job.attempt]
        if not told or job.state != JobState.RUNNING:
            return
        progress = told[-1]["progress"]
        tx.tales.append(
            LiveProgress(
                {
                    "job_id": job.id,
                    "parent_id": job.parent_id,
                    "hive_id": job.hive_id,
                    "attempt": job.attempt,
                    "at": told[-1]["at"],
                    "progress": progress,
                }
            )
        )
        complete = progress.get("done") == progress.get("total")
        if complete or now - self._progress_written.get(job.id, 0.0) >= PROGRESS_TO_ROW:
            job.progress, job.updated_at = progress, now
            self._progress_written[job.id] = now
            if len(self._progress_written) > 10_000:
                self._progress_written.clear()


def _by_speaker(batches: list[_Batch]) -> dict[tuple[str, str], _Entries]:
    """What was said, by the job it is about and the hive that said it."""
    said: dict[tuple[str, str], _Entries] = defaultdict(list)
    for batch in batches:
        for entry in batch.entries:
            said[entry["job_id"], batch.hive_id].append(entry)
    return said


def _locked(tx: Transaction, said: Iterable[tuple[str, str]]) -> Iterator[Job]:
    """The jobs whose own hive spoke, by id. Others are not even locked: anybody may be working on them.

    Nor is what is queued, whose attempt nobody claimed yet: claims lock such jobs oldest first.
    """
    speakers = set(said)
    job_ids = sorted({job_id for job_id, _ in speakers})
    for first in range(0, len(job_ids), JOBS):
        some = col(Job.id).in_(job_ids[first : first + JOBS])
        owned = [
            job_id
            for job_id, hive_id in tx.session.exec(
                select(Job.id, Job.hive_id).where(some, Job.state != JobState.QUEUED)
            )
            if (job_id, hive_id) in speakers
        ]
        query = select(Job).where(col(Job.id).in_(owned)).order_by(Job.id).with_for_update()
        yield from (job for job in tx.session.exec(query).all() if (job.id, job.hive_id) in speakers)


def _accept(job: Job, said: _Entries) -> Iterator[NewEvent]:
    for entry in said:
        if (
            entry["kind"] not in SEQUENCED
            or entry["attempt"] != job.attempt
            or entry["seq"] != job.last_seq + 1
            or (job.final_seq is not None and entry["seq"] > job.final_seq)
        ):
            continue
        if job.state == JobState.QUEUED or job.ended:
            continue
        job.last_seq += 1
        kind, at, seq = entry["kind"], entry["at"], entry["seq"]
        yield NewEvent(job, job.attempt, kind, at, seq, entry.get("text"), entry.get("data"))


def _pairs(read: Any) -> Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """The answer of XREAD in either protocol version: pairs in RESP2; in RESP3 a map, and its entries one list deeper."""
    if isinstance(read, dict):
        return [
            (name, entries[0] if entries and isinstance(entries[0], list) else entries)
            for name, entries in read.items()
        ]
    return list(read)


def _key(stream_id: str) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)
