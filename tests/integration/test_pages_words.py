"""Numbers and times as the pages say them."""

from datetime import UTC, datetime, timedelta

import pytest

from web import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4_680_000_000, "4.7 GB"),
        (99_950_000, "100 MB"),
        (None, "?"),
    ],
)
def test_bytes_are_said_in_decimal_units(value: float | None, said: str) -> None:
    assert words.size(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_an_amount_names_its_unit_once_where_it_is_the_same() -> None:
    assert words.amount({"done": 1_200_000_000, "total": 4_700_000_000, "unit": "bytes"}) == "1.2 of 4.7 GB"
    assert words.amount({"done": 900_000_000, "total": 4_700_000_000, "unit": "bytes"}) == "900 MB of 4.7 GB"
    assert words.amount({"done": 5, "total": None, "unit": "bytes"}) == "5 B"
    assert words.amount({"done": 3, "total": 7, "unit": "steps"}) == "3 of 7 steps"


def test_nothing_unfinished_is_said_to_be_at_a_hundred_percent() -> None:
    assert words.percent({"done": 999_999, "total": 1_000_000}) == 99
    assert words.percent({"done": 10, "total": None}) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "just now"),
        (70, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400, "yesterday"),
        (864_000, "10 days ago"),
    ],
)
def test_a_time_is_said_as_how_long_ago(seconds: float, said: str) -> None:
    now = datetime(2026, 1, 20, tzinfo=UTC)

    assert words.ago((now - timedelta(seconds=seconds)).isoformat(), now) == said
