"""Said things in their wire form."""

import pytest

from shared.narration import MAX_TEXT, SEQUENCED, Data, Kind, Line, Log, Progress, Said, as_event


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (Line("Downloads."), {"kind": "line", "text": "Downloads."}),
        (Log("make: ok"), {"kind": "log", "text": "make: ok"}),
        (Data({"a": 1}), {"kind": "data", "data": {"a": 1}}),
    ],
)
def test_what_is_numbered(said: Said, own: dict[str, object]) -> None:
    event = as_event(said, job_id="job-1", attempt=2, seq=3, at=1.23456)

    assert event == {"v": 1, "job_id": "job-1", "attempt": 2, "seq": 3, "at": 1.235, **own}
    assert event["kind"] in SEQUENCED


def test_progress_has_no_number() -> None:
    event = as_event(Progress(1, None, "bytes", "plan"), job_id="job-1", attempt=1, seq=None, at=0)

    assert "seq" not in event
    assert event["kind"] == Kind.PROGRESS
    assert event["progress"] == {
        "done": 1,
        "total": None,
        "unit": "bytes",
        "phase": "plan",
        "rate": None,
        "eta": None,
    }
    assert Kind.PROGRESS not in SEQUENCED


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    event = as_event(Log("x" * (MAX_TEXT + 5)), job_id="job-1", attempt=1, seq=1, at=0)

    assert len(event["text"]) == MAX_TEXT
    assert event["text"].endswith("…")
