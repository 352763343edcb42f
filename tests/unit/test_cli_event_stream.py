"""The client's side of server-sent events, against a real server that cuts, repeats and refuses."""

import json
from collections.abc import Iterator

import pytest

from cli.event_stream import BACK, BUSY, SILENT, EventStream, Frames, Note, ServerEvent
from cli.queen_api import QueenApi
from cli.queens import Queen
from shared.errors import NotFound, Unavailable
from tests.unit.cli_queen import Answer, ScriptedQueen, stream

PATH = "/v1/jobs/job-1/stream"


@pytest.fixture
def queen() -> Iterator[ScriptedQueen]:
    with ScriptedQueen() as server:
        yield server


def event(kind: str, event_id: int | None = None, **data: object) -> str:
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n"


def line(event_id: int, seq: int, attempt: int = 1) -> str:
    return event("line", event_id, job_id="job-1", attempt=attempt, seq=seq, text=f"line {seq}")


END = event("end", 99, job_id="job-1", attempt=1, state="completed")


def followed(queen: ScriptedQueen, **more: float) -> EventStream:
    api = QueenApi(Queen(queen.url, "key"))
    return EventStream(lambda last_id: api.stream(PATH, last_id), sleep=lambda seconds: None, **more)


def texts(stream: EventStream) -> list[str]:
    return [heard.data["text"] for heard in stream if isinstance(heard, ServerEvent) and heard.type == "line"]


def test_events_are_read_wherever_the_network_cuts_them() -> None:
    sent = "retry: 2000\n\n" + ": ping\n\n" + line(1, 1) + "id: 2\r\nevent: log\r\ndata: {\r\ndata: }\r\n\r\n"
    for size in range(1, 40):
        frames, raw = Frames(), sent.encode()

        found = [frame for at in range(0, len(raw), size) for frame in frames.feed(raw[at : at + size])]

        assert [(frame.event, frame.id) for frame in found] == [("message", None), ("line", 1), ("log", 2)]
        assert found[0].retry == 2.0
        assert found[2].data == "{\n}"
        assert frames.pinged


def test_a_stream_ends_with_its_end(queen: ScriptedQueen) -> None:
    queen.on("GET", PATH, stream("retry: 2000\n\n", event("job", id="job-1"), line(1, 1), END, line(100, 2)))

    heard = [one.type for one in followed(queen) if isinstance(one, ServerEvent)]

    assert heard == ["job", "line", "end"]
    assert queen.asked[0].headers["Authorization"] == "Bearer key"
    assert "Last-Event-ID" not in queen.asked[0].headers


def test_a_cut_stream_goes_on_after_the_last_event(queen: ScriptedQueen) -> None:
    queen.on(
        "GET", PATH, stream(line(1, 1), line(2, 2), "id: 3\nevent: li", cut=True), stream(line(3, 3), END)
    )

    assert texts(followed(queen)) == ["line 1", "line 2", "line 3"]
    assert queen.asked[1].headers["Last-Event-ID"] == "2"


def test_no_line_is_told_twice_when_the_server_repeats_itself(queen: ScriptedQueen) -> None:
    queen.on(
        "GET",
        PATH,
        stream(line(1, 1), line(2, 2), line(2, 2), cut=True),
        stream(line(1, 1), line(2, 2), line(3, 3), END),
    )

    assert texts(followed(queen)) == ["line 1", "line 2", "line 3"]


def test_a_resync_replays_under_new_ids_without_repeats(queen: ScriptedQueen) -> None:
    queen.on(
        "GET",
        PATH,
        stream(line(70, 1), line(71, 2)),
        stream("event: resync\ndata: {}\n\n", line(5, 1), line(6, 2), line(7, 3), line(8, 1, attempt=2), END),
    )

    heard = list(followed(queen))

    assert [one.type for one in heard if isinstance(one, ServerEvent)].count("resync") == 1
    assert [one.id for one in heard if isinstance(one, ServerEvent) and one.type == "line"] == [70, 71, 7, 8]


def test_progress_has_no_id_and_is_passed_on(queen: ScriptedQueen) -> None:
    progress = event("progress", job_id="job-1", attempt=1, progress={"done": 1})
    queen.on("GET", PATH, stream(progress, progress, END))

    heard = [one.type for one in followed(queen) if isinstance(one, ServerEvent)]

    assert heard == ["progress", "progress", "end"]


def test_204_means_that_everything_was_heard(queen: ScriptedQueen) -> None:
    queen.on("GET", PATH, stream(line(1, 1), cut=True), Answer(204))

    assert texts(followed(queen)) == ["line 1"]


def test_a_restart_of_the_queen_is_noted_once_and_so_is_its_return(queen: ScriptedQueen) -> None:
    down = Answer(503, {"error": {"code": "unavailable", "message": "Not now."}})
    queen.on("GET", PATH, stream(line(1, 1), cut=True), down, down, down, stream(line(2, 2), END))

    heard = list(followed(queen, quiet=0.0))

    assert [one for one in heard if isinstance(one, Note)] == [Note(SILENT), Note(BACK)]
    assert [one.id for one in heard if isinstance(one, ServerEvent)] == [1, 2, 99]


def test_a_full_queen_is_waited_for_as_long_as_it_asks(queen: ScriptedQueen) -> None:
    queen.on("GET", PATH, stream("retry: 20000\n\n"), stream(END))
    api = QueenApi(Queen(queen.url, "key"))
    pauses: list[float] = []

    heard = list(EventStream(lambda last: api.stream(PATH, last), quiet=0.0, sleep=pauses.append))

    assert heard[0] == Note(BUSY)
    assert 16 <= pauses[0] <= 24


def test_a_queen_that_stays_away_is_given_up(queen: ScriptedQueen) -> None:
    queen.on("GET", PATH, Answer(502, "<html>bad gateway</html>"))

    with pytest.raises(Unavailable, match="has not been heard"):
        list(followed(queen, patience=0.05))


def test_a_job_that_is_gone_is_not_waited_for(queen: ScriptedQueen) -> None:
    with pytest.raises(NotFound):
        list(followed(queen))
