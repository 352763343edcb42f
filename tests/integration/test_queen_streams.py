"""Server-sent events: frames, replay and live without loss or repeat, and how streams end."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy.exc import OperationalError

from queen import events, live, streams
from queen.broker_server import broker_url
from queen.database import Database
from queen.live import Hub, LiveEvent, Topic
from queen.rows import Event, Job
from queen.settings import QueenSettings
from queen.streams import Streams
from queen.telling import Teller
from shared.broker import celery_app, redis_client
from shared.routing import LIVE_CHANNEL
from shared.states import Outcome
from tests.fleet import Fleet
from tests.stack import wait_for

Frame = dict[str, Any]


class Watching:
    """A hub and its streams, without a web server: a stream is read as its client would."""

    def __init__(self, database: Database, settings: QueenSettings) -> None:
        url = broker_url(settings)
        self.teller = Teller(redis_client(url), celery_app("test", url))
        self.hub = Hub(database, redis_client(url, blocking=2.0))
        self.streams = Streams(database, self.hub, redis_client(url))
        self.app = Flask("watching")

    def open(self, make: Callable[[], Any], last_id: int | None = None, *, header: bool = True) -> Any:
        headers = {"Last-Event-ID": str(last_id)} if last_id is not None and header else {}
        path = f"/?last_event_id={last_id}" if last_id is not None and not header else "/"
        with self.app.test_request_context(path, headers=headers):
            return make()

    def job(self, job_id: str, last_id: int | None = None, *, header: bool = True) -> "Reader":
        return Reader(self.open(lambda: self.streams.job(job_id), last_id, header=header))

    def fleet(self, topic: Topic = Topic(), last_id: int | None = None) -> "Reader":  # noqa: B008
        return Reader(self.open(lambda: self.streams.fleet(topic), last_id))


class Reader:
    """Reads frames in a thread, so that a test can wait for them."""

    def __init__(self, response: Any) -> None:
        self.status = response.status_code
        self.raw: list[bytes] = []
        self.ended = threading.Event()
        self._response = response
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for chunk in self._response.response:
            self.raw.append(chunk)
        self._response.close()
        self.ended.set()

    @property
    def frames(self) -> list[Frame]:
        return parse(b"".join(self.raw).decode())

    def of(self, *kinds: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["event"] in kinds]

    def wait(self, count: int, *kinds: str) -> list[Frame]:
        wait_for(lambda: len(self.of(*kinds)) >= count, f"{count} of {kinds}; {self.frames}", 10)
        return self.of(*kinds)

    def wait_open(self) -> "Reader":
        wait_for(
            lambda: b"snapshot" in b"".join(self.raw) or self.of("job", "resync"), "the stream is open", 10
        )
        return self


def parse(text: str) -> list[Frame]:
    """As the HTML standard says a browser does."""
    found, frame, data = [], {"id": None, "event": "message"}, []
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if not line:
            if data:
                found.append({**frame, "data": json.loads("\n".join(data))})
            frame, data = {"id": None, "event": "message"}, []
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif name in {"id", "event"}:
            frame[name] = int(value) if name == "id" else value.strip()
    return found


@pytest.fixture
def watching(
    fleet: Fleet, broker: tuple[QueenSettings, str], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watching]:
    monkeypatch.setattr(live, "LIVE_CATCH_UP", 0.25)
    watching = Watching(fleet.database, broker[0])
    fleet.database.tell = watching.teller
    with running(watching.hub):
        yield watching
    watching.teller.close()


@contextmanager
def running(hub: Hub) -> Iterator[None]:
    hub.start()
    wait_for(lambda: hub._redis.pubsub_numsub(LIVE_CHANNEL)[0][1], "the hub listens", 10)
    yield
    hub.close()
    if hub._thread is not None:
        hub._thread.join(5)
    wait_for(lambda: not hub._redis.pubsub_numsub(LIVE_CHANNEL)[0][1], "the hub is gone", 10)


def say(fleet: Fleet, job_id: str, *texts: str) -> None:
    """Lines as the recorder makes them."""
    with fleet.database.write() as tx:
        job = tx.session.get(Job, job_id, with_for_update=True)
        assert job is not None
        new = []
        for text in texts:
            job.last_seq += 1
            new.append(events.NewEvent(job, job.attempt, "line", time.time(), job.last_seq, text))
        events.append(tx, new)


def texts(frames: list[Frame]) -> list[str]:
    return [frame["data"]["text"] for frame in frames if frame["event"] == "line"]


# Frames.


@pytest.mark.parametrize(
    "text",
    ["a\nevent: end\ndata: {}\n\nid: 9", "a\r\rb", "a\r\n\r\nb", "\u2028\u2029\x85\x0b\x0c\x1c", "", ":"],
)
def test_no_text_breaks_out_of_its_frame(text: str) -> None:
    as_json = streams.json_frame(LiveEvent("line", {"text": text}, 7))
    as_text = streams.frame("line", text, 7).decode()

    assert as_json is not None
    assert parse(as_json.decode()) == [{"id": 7, "event": "line", "data": {"text": text}}]
    assert as_text.count("event: ") - as_text.count("data: event: ") == 1
    assert all(line.split(":")[0] in {"id", "event", "data", ""} for line in as_text.split("\n"))
    assert "\r" not in as_text
    assert as_text.endswith("\n\n")
    assert as_text.count("\n\n") == 1


def test_hives_are_not_events_of_the_api() -> None:
    assert streams.json_frame(LiveEvent("hive", {"id": "x"})) is None


# One job.


def test_a_stream_begins_at_once_and_ends_with_the_end(fleet: Fleet, watching: Watching) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    reader = watching.job(grant.job_id)
    first = reader.wait(1, "job")[0]
    say(fleet, grant.job_id, "one", "two")
    reader.wait(2, "line")
    fleet.finish(hive, grant, last_seq=2)

    assert reader.ended.wait(5)
    assert reader.raw[0].startswith(b"retry: ")
    assert first["data"]["id"] == grant.job_id
    assert texts(reader.frames) == ["one", "two"]
    assert reader.frames[-1]["event"] == "end"
    assert reader.frames[-1]["data"]["state"] == "completed"


def test_who_comes_back_misses_nothing_and_hears_nothing_twice(fleet: Fleet, watching: Watching) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    say(fleet, grant.job_id, *"abcdef")
    ids = [event.id for event in fleet.events(grant.job_id, "line")]

    by_header = watching.job(grant.job_id, ids[2])
    by_query = watching.job(grant.job_id, ids[2], header=False)
    by_header.wait(3, "line")
    by_query.wait(3, "line")
    say(fleet, grant.job_id, "g")
    by_header.wait(4, "line")
    by_query.wait(4, "line")

    assert texts(by_header.frames) == texts(by_query.frames) == list("defg")


def test_at_or_after_the_end_there_is_nothing_more(fleet: Fleet, watching: Watching) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.finish(hive, grant)
    end = fleet.events(grant.job_id, "end")[0].id

    before, at = watching.job(grant.job_id, end - 1), watching.job(grant.job_id, end)
    future = watching.job(grant.job_id, end + 1000)

    assert before.ended.wait(5)
    assert [frame["event"] for frame in before.frames] == ["end"]
    assert at.status == 204
    assert future.ended.wait(5)
    assert future.frames[0]["event"] == "resync"
    assert future.frames[-1]["event"] == "end"


def test_a_retried_job_does_not_replay_its_old_end(fleet: Fleet, watching: Watching) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    fleet.finish(hive, grant, Outcome.FAILED)
    fleet.retry(grant.job_id)
    reader = watching.job(grant.job_id)
    reader.wait(3, "job")
    again = fleet.claim(hive, grant.job_id)
    fleet.finish(hive, again)

    assert reader.ended.wait(5)
    assert [frame["data"]["attempt"] for frame in reader.of("end")] == [2]


def test_an_end_between_the_snapshot_and_the_replay_is_not_missed(
    fleet: Fleet, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    family = watching.streams._family

    def then_it_ends(job_id: str) -> Any:
        found = family(job_id)
        fleet.finish(hive, grant)
        return found

    monkeypatch.setattr(watching.streams, "_family", then_it_ends)
    reader = watching.job(grant.job_id)

    assert reader.ended.wait(5)
    assert len(reader.of("end")) == 1


def test_a_pause_ends_no_stream(fleet: Fleet, watching: Watching) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    reader = watching.job(grant.job_id).wait_open()
    fleet.pause(grant.job_id)
    fleet.finish(hive, grant, Outcome.PAUSED)
    fleet.resume(grant.job_id)
    wait_for(lambda: any(f["data"]["state"] == "queued" for f in reader.of("job")[-1:]), "it is told", 5)

    assert not reader.ended.is_set()
    fleet.cancel(grant.job_id)
    assert reader.ended.wait(5)


def test_the_stream_of_a_parent_has_its_childrens_lines_but_only_its_own_end(
    fleet: Fleet, watching: Watching
) -> None:
    for name in "ab":
        fleet.hive(name)
    parent = fleet.submit(all=True)
    children = {str(child.hive_id): child.id for child in fleet.children(parent)}
    grants = {hive: fleet.claim(hive, job_id) for hive, job_id in children.items()}
    live_reader = watching.job(parent).wait_open()
    for hive, grant in grants.items():
        say(fleet, grant.job_id, f"from {hive}")
        fleet.finish(hive, grant, last_seq=1)

    assert live_reader.ended.wait(5)
    later = watching.job(parent)
    assert later.ended.wait(5)
    for reader in (live_reader, later):
        assert set(texts(reader.frames)) == {f"from {hive}" for hive in grants}
        assert [frame["data"]["job_id"] for frame in reader.of("end")] == [parent]


# Under load.


def test_readers_that_come_at_any_moment_hear_everything_once(fleet: Fleet, watching: Watching) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(3)]
    grants = [fleet.running(hive, model=f"org/{hive}") for hive in hives]
    second = Database(fleet.database.engine.url.render_as_string(hide_password=False), tell=watching.teller)
    other_process = Fleet(second)
    second.tell = watching.teller
    lines = 25

    def write(place: int) -> None:
        for number in range(lines):
            say((fleet, other_process)[number % 2], grants[place].job_id, f"{place}-{number}")
            if number % 7 == 0:
                time.sleep(random.uniform(0, 0.01))

    start = watching.fleet().wait_open()
    writers = [threading.Thread(target=write, args=(place,)) for place in range(3)]
    for writer in writers:
        writer.start()
    readers = [start]
    for number in range(6):
        readers.append(watching.job(grants[number % 3].job_id))
        time.sleep(0.02)
    for writer in writers:
        writer.join()

    start.wait(3 * lines, "line")
    for reader in readers[1:]:
        reader.wait(lines, "line")
    for reader in readers:
        ids = [frame["id"] for frame in reader.frames if frame["id"] is not None]
        assert ids == sorted(set(ids))
    assert sorted(texts(start.frames)) == sorted(f"{p}-{n}" for p in range(3) for n in range(lines))
    for number, reader in enumerate(readers[1:]):
        assert texts(reader.frames) == [f"{number % 3}-{n}" for n in range(lines)]
    other_process.close()
    second.close()


def test_what_pub_sub_lost_is_read_from_the_rows(
    fleet: Fleet, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    reader = watching.job(grant.job_id).wait_open()
    fleet.database.tell = lambda tales: None
    say(fleet, grant.job_id, "lost one")
    fleet.database.tell = watching.teller
    say(fleet, grant.job_id, "heard one")
    reader.wait(2, "line")
    fleet.database.tell = lambda tales: None
    say(fleet, grant.job_id, "lost too")
    reader.wait(3, "line")

    assert texts(reader.frames) == ["lost one", "heard one", "lost too"]


def test_the_hub_survives_its_database_and_its_broker(
    fleet: Fleet, watching: Watching, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    reader = watching.job(grant.job_id).wait_open()
    broken = {"left": 3}
    after = events.after

    def fails(*arguments: Any, **more: Any) -> Any:
        if broken["left"] > 0 and threading.current_thread().name == "live":
            broken["left"] -= 1
            raise OperationalError("select", {}, Exception("gone"))
        return after(*arguments, **more)

    monkeypatch.setattr(events, "after", fails)
    redis.client_kill_filter(_type="pubsub")
    say(fleet, grant.job_id, "still here")

    assert reader.wait(1, "line")
    assert broken["left"] == 0


def test_a_reader_that_is_too_slow_is_closed_and_others_are_not(
    fleet: Fleet, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUEUE", 5)
    hive = fleet.hive()
    grant = fleet.running(hive)
    with (
        watching.hub.subscribe(Topic(frozenset({grant.job_id}))) as slow,
        watching.hub.subscribe(Topic(frozenset({grant.job_id}))) as quick,
    ):
        for number in range(10):
            say(fleet, grant.job_id, str(number))
            assert quick.get(5) is not None
        wait_for(lambda: slow.closed, "the slow one is closed", 5)

        assert not quick.closed


# The fleet's stream.


def test_the_fleets_stream_begins_with_what_is_active_and_the_id_to_go_on_from(
    fleet: Fleet, watching: Watching
) -> None:
    hive = fleet.hive()
    ended, active = fleet.running(hive), fleet.submit("org/active", hive=hive)
    fleet.finish(hive, ended)
    reader = watching.fleet().wait_open()
    newest = max(event.id for job_id in (ended.job_id, active) for event in fleet.events(job_id))
    reader.wait(1, "job")

    assert f"id: {newest}\n".encode() in b"".join(reader.raw)
    assert [frame["data"]["id"] for frame in reader.of("job")] == [active]


@pytest.mark.parametrize("gone", ["future", "too old", "forgotten"])
def test_who_cannot_be_caught_up_is_told_to_look_again(
    fleet: Fleet, watching: Watching, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    hive = fleet.hive()
    grant = fleet.running(hive)
    say(fleet, grant.job_id, *"abcdefgh")
    if gone == "too old":
        monkeypatch.setattr(streams, "MAX_REPLAY", 3)
    if gone == "forgotten":
        with fleet.database.write() as tx:
            for event in fleet.events(grant.job_id)[:5]:
                tx.session.delete(tx.session.get(Event, event.id))

    reader = watching.fleet(last_id=1000 if gone == "future" else 1).wait_open()
    reader.wait(1, "job")

    assert [frame["event"] for frame in reader.frames] == ["resync", "job"]


def test_a_reader_of_some_jobs_and_a_hive_hears_both_conditions_once(
    fleet: Fleet, watching: Watching
) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar")
    parent = fleet.submit(all=True)
    mine, theirs = (
        next(child for child in fleet.children(parent) if child.hive_id == wanted) for wanted in (hive, other)
    )
    both = watching.fleet(Topic(frozenset({parent, mine.id}))).wait_open()
    narrow = watching.fleet(Topic(frozenset({parent}), hive)).wait_open()
    for child in (theirs, mine):
        say(fleet, child.id, f"on {child.hive_id}")
    both.wait(2, "line")
    narrow.wait(1, "line")
    since = min(event.id for event in fleet.events(theirs.id, "line")) - 1
    replayed = watching.fleet(Topic(frozenset({parent})), last_id=since)
    replayed.wait(2, "line")

    assert texts(both.frames) == texts(replayed.frames) == [f"on {other}", f"on {hive}"]
    assert texts(narrow.frames) == [f"on {hive}"]


def test_the_memory_of_left_topics_is_given_back(watching: Watching) -> None:
    for number in range(50):
        with watching.hub.subscribe(Topic(hive=f"hive-{number}")):
            pass
        with watching.hub.subscribe(Topic(frozenset({f"job-{number}"}))):
            pass

    assert not watching.hub._of_hive
    assert not watching.hub._of_job
    assert watching.hub.readers == 0


def test_past_the_limit_a_stream_says_when_to_come_again(
    fleet: Fleet, broker: tuple[QueenSettings, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    watching = Watching(fleet.database, broker[0])
    job_id = fleet.submit()

    held = [watching.open(lambda: watching.streams.job(job_id)) for _ in range(2)]
    refused = watching.open(lambda: watching.streams.job(job_id))
    held[0].close()
    again = watching.open(lambda: watching.streams.job(job_id))

    assert (refused.status_code, refused.mimetype) == (200, "text/event-stream")
    assert refused.get_data() == b"retry: 20000\n\n"
    assert again.is_streamed
    for response in (again, held[1]):
        response.close()


def test_a_stopping_server_ends_every_stream(fleet: Fleet, watching: Watching) -> None:
    job_id = fleet.submit()
    readers = [watching.job(job_id).wait_open(), watching.fleet().wait_open()]

    watching.hub.close()

    assert all(reader.ended.wait(5) for reader in readers)
