"""Pauses, limits and rates: pure arithmetic."""

import threading
from datetime import UTC, datetime

import pytest

from hive.download.answer import Validators
from hive.download.bandwidth import Bandwidth
from hive.download.meter import Meter
from hive.download.patience import LONGEST_RETRY_AFTER, backoff, retry_after, seconds_in_words

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("17", 17.0),
        ("-3", None),
        ("soon", None),
        ("999999", LONGEST_RETRY_AFTER),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", LONGEST_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=NOW) == seconds


def test_back_off_doubles_spreads_and_ends_at_a_minute() -> None:
    rounds = [[backoff(failures) for _ in range(200)] for failures in (1, 2, 3, 20)]

    for delays, middle in zip(rounds, (1, 2, 4, 60), strict=True):
        assert min(delays) >= middle * 0.7
        assert max(delays) <= middle * 1.3
        assert max(delays) - min(delays) > middle * 0.2


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.02, "0.1 s"), (3.14, "3.1 s"), (42, "42 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_pauses_are_told_in_words(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


@pytest.mark.parametrize(
    ("mine", "theirs", "differ", "agree"),
    [
        (Validators('"a"'), Validators('"a"'), False, True),
        (Validators('"a"'), Validators('W/"a-gzip"'), False, True),
        (Validators('"a"'), Validators('"a;gzip"'), False, True),
        (Validators('"a"'), Validators('"b"'), True, False),
        (Validators('"a"', "Monday"), Validators(None, "Monday"), False, True),
        (Validators(None, "Monday"), Validators(None, "Tuesday"), True, False),
        (Validators('"a"'), Validators(None, "Monday"), False, False),
        (Validators(), Validators(), False, False),
    ],
)
def test_versions_are_compared_by_what_both_name(
    mine: Validators, theirs: Validators, differ: bool, agree: bool
) -> None:
    assert (mine.differ(theirs), mine.agree(theirs)) == (differ, agree)


def test_if_range_is_never_a_weak_etag() -> None:
    assert Validators('"a"', "Monday").if_range == '"a"'
    assert Validators('W/"a"', "Monday").if_range == "Monday"
    assert Validators('W/"a"').if_range is None


def test_a_limit_is_shared_and_the_tighter_of_two_decides() -> None:
    hive = Bandwidth(1_000_000)
    slow, fast = Bandwidth(100_000, parent=hive), Bandwidth(None, parent=hive)
    waits: list[float] = []

    slow.spend(200_000, waits.append)
    fast.spend(1_000_000, waits.append)

    assert waits[0] == pytest.approx(2.0, abs=0.1)
    assert waits[1] == pytest.approx(1.2, abs=0.1)
    assert slow.read_size(1 << 20) == 6250
    assert fast.read_size(1 << 20) == 62_500


def test_no_limit_never_waits_and_a_limit_may_change() -> None:
    free = Bandwidth()
    free.spend(10**12, lambda seconds: pytest.fail(f"waited {seconds}"))
    free.change(1000)
    waits: list[float] = []

    free.spend(3000, waits.append)

    assert waits == [pytest.approx(3.0, abs=0.1)]


def test_threads_together_pay_the_sum() -> None:
    limit = Bandwidth(1_000_000)
    waits: list[float] = []
    threads = [threading.Thread(target=limit.spend, args=(250_000, waits.append)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(waits) == pytest.approx(2.0, abs=0.2)


def test_bytes_that_were_here_before_are_no_speed() -> None:
    meter = Meter(900)

    said = meter.read(1000, 1000, "download")

    assert (said.done, said.total, said.rate) == (999, 1000, None)
    assert meter.complete(1000).done == 1000
    assert Meter(0).read(0, 0, "download").done == 0
