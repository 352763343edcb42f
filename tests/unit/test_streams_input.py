"""What comes from outside as JSON: strict for people, mended for machines, never trusted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queen.entries import MAX_ENTRY, parse_entry
from queen.strict_json import loads
from shared.narration import Data, Line, Log, Progress, as_event

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b'"\\u0000"',
        b'"\\ud800"',
        b'{"\\u0000": 1}',
        b"[" * 65 + b"]" * 65,
    ],
)
def test_what_python_reads_beyond_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):
        loads(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"{", b"\xff", b"9" * 5000])
@pytest.mark.parametrize("mend", [True, False])
def test_what_is_no_json_is_a_value_error_and_nothing_else(raw: bytes, mend: bool) -> None:
    with pytest.raises(ValueError):
        loads(raw, mend=mend)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"[NaN, 1e999, 1.5]", [None, None, 1.5]),
        (b'{"\\u0000a": "b\\ud800"}', {"\ufffda": "b\ufffd"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_a_machines_words_are_mended(raw: bytes, value: Any) -> None:
    assert loads(raw, mend=True) == value


@given(plain)
def test_whatever_is_mended_can_be_encoded_and_stored(value: Any) -> None:
    mended = loads(json.dumps(value).encode(), mend=True)

    text = json.dumps(mended, ensure_ascii=False, allow_nan=False)
    assert text.encode()
    assert "\\u0000" not in text


@pytest.mark.parametrize(
    "said", [Line("a"), Log("b"), Data({"c": 1}), Progress(1, 2, "bytes", "p", 0.5, 3.0)]
)
def test_what_a_hive_says_is_understood(said: Any) -> None:
    seq = None if isinstance(said, Progress) else 1
    event = as_event(said, job_id="job-1", attempt=1, seq=seq, at=1.5)

    assert parse_entry(json.dumps(event).encode()) == event


@given(
    plain
    | st.dictionaries(st.sampled_from(["v", "kind", "at", "seq", "job_id", "attempt", "progress"]), plain)
)
def test_nothing_a_hive_says_breaks_the_reader(value: Any) -> None:
    said = as_event(Line("x"), job_id="job-1", attempt=1, seq=1, at=1.5)
    event = {**said, **value} if isinstance(value, dict) else value

    parsed = parse_entry(json.dumps(event).encode())

    assert parsed is None or json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()


def test_an_entry_that_is_too_large_is_dropped_unread() -> None:
    assert parse_entry(b"{" * (MAX_ENTRY + 1)) is None
