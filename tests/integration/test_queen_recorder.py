"""Narration into rows, read from the real broker: nothing twice, nothing lost, nothing that a hive may not say."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from queen.database import Database
from queen.recorder import OnlyOne
from queen.recording import Recorder, SteppedDown
from queen.rows import Cursor
from queen.settings import QueenSettings
from queen.tales import Live, LiveProgress
from shared.narration import Data, Line, Log, Progress, Said, as_event
from shared.protocol import Grant
from shared.routing import narration_stream
from shared.states import JobState, Outcome
from tests.fleet import Fleet


class Narrator:
    """A hive's mouth."""

    def __init__(self, redis: Redis, hive_id: str) -> None:
        self._redis = redis
        self._stream = narration_stream(hive_id)

    def say(self, grant: Grant, seq: int | None, said: Said | None = None, entry_id: str = "*") -> None:
        said = said or Line(f"line {seq}")
        self.raw(
            as_event(said, job_id=grant.job_id, attempt=grant.attempt, seq=seq, at=time.time()), entry_id
        )

    def raw(self, event: dict[str, Any] | bytes, entry_id: str = "*") -> None:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._redis.xadd(self._stream, {b"e": body}, id=entry_id)

    def length(self) -> int:
        return int(self._redis.xlen(self._stream))


@pytest.fixture
def recorder(database: Database, redis: Redis) -> Recorder:
    return Recorder(database, redis)


def record(recorder: Recorder) -> int:
    recorder.load_cursors()
    read = 0
    while count := recorder.step(block=0.01):
        read += count
    return read


def told(fleet: Fleet, grant: Grant) -> list[int]:
    return [event.seq for event in fleet.events(grant.job_id) if event.seq is not None]


def event(grant: Grant, **changed: Any) -> dict[str, Any]:
    said = as_event(Line("hello"), job_id=grant.job_id, attempt=grant.attempt, seq=1, at=time.time())
    return {**said, **changed}


def test_lines_become_rows_in_order_and_are_pushed_after_the_commit(
    fleet: Fleet, recorder: Recorder, redis: Redis
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    narrator.say(grant, 1, Line("Downloads org/repo."))
    narrator.say(grant, 2, Log("a child's word"))
    narrator.say(grant, 3, Data({"files": 2}))
    fleet.told(Live)

    record(recorder)

    rows = [row for row in fleet.events(grant.job_id) if row.seq]
    assert [(row.kind, row.seq, row.text, row.data) for row in rows] == [
        ("line", 1, "Downloads org/repo.", None),
        ("log", 2, "a child's word", None),
        ("data", 3, None, {"files": 2}),
    ]
    pushed = [event["id"] for tale in fleet.told(Live) for event in tale.events]
    assert pushed == [row.id for row in rows]


def test_repeats_and_gaps_leave_no_row_and_the_spool_fills_the_gap(
    fleet: Fleet, recorder: Recorder, redis: Redis
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    for seq in (1, 1, 2, 4, 5):
        narrator.say(grant, seq)
    record(recorder)
    assert told(fleet, grant) == [1, 2]
    assert fleet.beat(hive, grant).recorded == {grant.job_id: 2}

    for seq in (3, 4, 5):
        narrator.say(grant, seq)
    record(recorder)

    assert told(fleet, grant) == [1, 2, 3, 4, 5]


def test_another_hive_another_attempt_and_an_unclaimed_job_are_not_heard(
    fleet: Fleet, recorder: Recorder, redis: Redis
) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar")
    old = fleet.running(hive)
    Narrator(redis, other).say(old, 1, Line("I lie."))
    fleet.lose(old.job_id)
    Narrator(redis, hive).say(old, 1, Line("late"))
    queued = old.model_copy(update={"attempt": 2})
    Narrator(redis, hive).say(queued, 1, Line("too early"))
    record(recorder)
    new = fleet.claim(hive, old.job_id)
    Narrator(redis, hive).say(old, 1, Line("later still"))
    Narrator(redis, hive).say(new, 1, Line("now"))

    record(recorder)

    assert [(row.attempt, row.text) for row in fleet.events(old.job_id, "line")] == [(2, "now")]


GARBAGE: list[Any] = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"word"',
    b"{" * 5000,
    b"[" * 30_000,
    {"v": 2},
    {"kind": "end"},
    {"kind": "job"},
    {"kind": ["line"]},
    {"attempt": True},
    {"attempt": "1"},
    {"seq": True},
    {"seq": 1.0},
    {"seq": -1},
    {"at": "now"},
    {"at": float("nan")},
    {"at": float("inf")},
    {"at": 1e300},
    {"at": -5},
    {"at": None},
    {"job_id": ["x"]},
    {"job_id": "job-\x00"},
    {"text": 7},
    {"text": None},
    {"kind": "data", "data": "word"},
    {"kind": "data", "data": {"x": "y" * 70_000}},
    {"kind": "progress", "progress": {"done": "many", "total": 2, "unit": "bytes", "phase": "x"}},
    {"kind": "progress", "progress": {"done": 1, "total": 2, "unit": "bytes", "phase": "x", "html": "<b>"}},
    {"kind": "progress", "progress": {"done": 1 << 80, "total": 2, "unit": "bytes", "phase": "x"}},
    {"kind": "progress", "progress": ["done"]},
]


def test_garbage_leaves_no_row_and_stops_nobody(fleet: Fleet, recorder: Recorder, redis: Redis) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar")
    grant, healthy = fleet.running(hive), fleet.running(other, model="org/other")
    narrator = Narrator(redis, hive)
    for thing in GARBAGE:
        narrator.raw(thing if isinstance(thing, bytes) else event(grant, **thing))
    redis.xadd(narration_stream(hive), {b"other": b"field"})
    Narrator(redis, other).say(healthy, 1)

    record(recorder)

    assert told(fleet, grant) == []
    assert fleet.job(grant.job_id).progress is None
    assert told(fleet, healthy) == [1]


def test_what_cannot_be_stored_is_mended_not_lost(fleet: Fleet, recorder: Recorder, redis: Redis) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    narrator.raw(event(grant, seq=1, text="nul \x00 and half \ud800 a pair, https://h/?token=secret123"))
    narrator.raw(event(grant, seq=2, kind="data", data={"rate": float("nan"), "name": "\x00"}))
    narrator.raw(event(grant, seq=3, text="x" * 20_000))

    record(recorder)

    first, second, third = (row for row in fleet.events(grant.job_id) if row.seq)
    assert first.text == "nul \ufffd and half \ufffd a pair, https://h/?token=•••"
    assert second.data == {"rate": None, "name": "\ufffd"}
    assert third.text is not None
    assert len(third.text) == 8192


def test_progress_is_told_at_once_and_never_a_row(fleet: Fleet, recorder: Recorder, redis: Redis) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    for done in (1, 2, 3):
        narrator.say(grant, None, Progress(done, 10, "bytes", "download", 1.5, 4.0))

    record(recorder)

    assert [tale.event["progress"]["done"] for tale in fleet.told(LiveProgress)] == [3]
    assert fleet.job(grant.job_id).progress == Progress(3, 10, "bytes", "download", 1.5, 4.0).as_dict()
    assert told(fleet, grant) == []


def test_the_end_goes_out_with_the_last_line_and_exactly_once(
    fleet: Fleet, recorder: Recorder, redis: Redis
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    narrator.say(grant, 1)
    fleet.finish(hive, grant, last_seq=2)
    record(recorder)
    assert fleet.events(grant.job_id, "end") == []

    narrator.say(grant, 2)
    narrator.say(grant, 3, Line("after the last word"))
    record(recorder)
    narrator.say(grant, 3)
    record(recorder)

    assert told(fleet, grant) == [1, 2]
    assert [row.kind for row in fleet.events(grant.job_id)][-1] == "end"
    assert len(fleet.events(grant.job_id, "end")) == 1


def test_a_second_recorder_is_noticed_and_nothing_is_written(
    fleet: Fleet, recorder: Recorder, redis: Redis, database: Database
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    record(recorder)
    Narrator(redis, hive).say(grant, 1)
    second = Recorder(database, redis)
    second.load_cursors()
    second.step(block=0.01)
    Narrator(redis, hive).say(grant, 2)

    with pytest.raises(SteppedDown):
        recorder.step(block=0.01)

    assert told(fleet, grant) == [1]


def test_a_crash_between_commit_and_trim_repeats_nothing(
    fleet: Fleet, recorder: Recorder, redis: Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    for seq in (1, 2):
        narrator.say(grant, seq)

    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(recorder, "_trim", crash)
        record(recorder)
    assert narrator.length() == 2
    narrator.say(grant, 3)
    read = record(Recorder(database, redis))

    assert read == 1
    assert told(fleet, grant) == [1, 2, 3]


def test_a_broker_with_lower_ids_is_read_from_its_beginning(
    fleet: Fleet, recorder: Recorder, redis: Redis
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    narrator = Narrator(redis, hive)
    narrator.say(grant, 1)
    record(recorder)
    redis.flushall()
    for seq, entry_id in ((1, "5-1"), (2, "5-2")):
        narrator.say(grant, seq, entry_id=entry_id)
    assert record(recorder) == 0

    recorder.rewind_lost_streams()
    record(recorder)

    assert told(fleet, grant) == [1, 2]


def test_cursors_move_with_the_rows(
    fleet: Fleet, recorder: Recorder, redis: Redis, database: Database
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    Narrator(redis, hive).say(grant, 1, entry_id="7-7")

    record(recorder)

    with database.read() as session:
        cursor = session.get(Cursor, hive)
    assert cursor is not None
    assert cursor.stream_id == "7-7"


def test_a_paused_job_still_tells_its_last_lines(fleet: Fleet, recorder: Recorder, redis: Redis) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.pause(grant.job_id)
    fleet.finish(hive, grant, Outcome.PAUSED, last_seq=1)
    Narrator(redis, hive).say(grant, 1)

    record(recorder)

    assert fleet.job(grant.job_id).state == JobState.PAUSED
    assert told(fleet, grant) == [1]
    assert fleet.events(grant.job_id, "end") == []


def test_there_is_only_one_recorder(
    broker: tuple[QueenSettings, str], database_url: str, tmp_path: Path
) -> None:
    first, second = (
        OnlyOne(broker[0].model_copy(update={"database_url": database_url, "data_dir": tmp_path / name}))
        for name in (("a", "b") if database_url.startswith("postgresql") else ("a", "a"))
    )
    for name in "ab":
        (tmp_path / name / "queen").mkdir(parents=True)

    assert first.acquire()
    assert not second.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
