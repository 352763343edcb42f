"""Quantities, names and exit codes as the command line puts them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli import exit_codes, naming, quantities, targets
from cli.exit_codes import ExitCode
from cli.queen_api import QueenApi
from cli.queens import Queen
from shared.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    RbeeError,
    SettingsError,
    Unauthorized,
    Unavailable,
)
from tests.unit.cli_queen import Answer, Asked, ScriptedQueen


@pytest.fixture
def queen() -> Iterator[ScriptedQueen]:
    with ScriptedQueen() as server:
        yield server


@pytest.fixture
def api(queen: ScriptedQueen) -> QueenApi:
    return QueenApi(Queen(queen.url, "key"))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_940_000, "99.9 MB"),
        (99_960_000, "100 MB"),
    ],
)
def test_bytes_are_told_in_decimal_units(count: int | None, words: str) -> None:
    assert quantities.size(count) == words


def test_a_share_names_its_unit_once_where_it_can() -> None:
    assert quantities.share(1.2e9, 4.7e9) == "1.2 of 4.7 GB"
    assert quantities.share(12e6, 4.7e9) == "12.0 MB of 4.7 GB"
    assert quantities.share(12e6, None) == "12.0 MB"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (65, "1:05"), (7384, "2:03:04"), (3e5, "3 days")]
)
def test_durations(seconds: float, words: str) -> None:
    assert quantities.duration(seconds) == words


@pytest.mark.parametrize(
    ("iso", "words"),
    [
        (None, "never"),
        ("2026-01-10T11:59:55.000Z", "just now"),
        ("2026-01-10T11:59:20Z", "40 s ago"),
        ("2026-01-10T10:59:59Z", "1 h ago"),
        ("2026-01-01T12:00:00Z", "9 days ago"),
    ],
)
def test_times_are_told_from_now(iso: str | None, words: str) -> None:
    assert quantities.ago(iso, datetime(2026, 1, 10, 12, tzinfo=UTC)) == words


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), 2),
        (InvalidRequest("x"), 2),
        (Unavailable("x"), 3),
        (NotFound("x"), 5),
        (Conflict("x"), 1),
        (Unauthorized("x"), 1),
        (Forbidden("x"), 1),
        (RbeeError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: RbeeError, code: int) -> None:
    assert exit_codes.of_error(error) == code


def test_the_worst_end_of_several_jobs_decides() -> None:
    assert exit_codes.of_states(["completed", "completed"]) == ExitCode.DONE
    assert exit_codes.of_states(["completed", "cancelled"]) == ExitCode.CANCELLED
    assert exit_codes.of_states(["cancelled", "failed"]) == ExitCode.FAILED


def job(digits: str) -> dict[str, str]:
    return {"id": f"job-{digits:0<32}", "title": f"Download {digits}"}


def pages(asked: Asked) -> Answer:
    """Two pages of jobs."""
    if asked.query.get("cursor"):
        return Answer(body={"items": [job("abc999"), job("def")], "next_cursor": None})
    return Answer(body={"items": [job("abc111")], "next_cursor": "more"})


def test_a_job_is_found_by_the_beginning_of_its_id_on_any_page(queen: ScriptedQueen, api: QueenApi) -> None:
    queen.on("GET", "/v1/jobs", pages)

    assert naming.find_job(api, "def") == job("def")["id"]
    assert naming.find_job(api, "job-abc9") == job("abc999")["id"]


def test_a_whole_job_id_needs_no_search(queen: ScriptedQueen, api: QueenApi) -> None:
    assert naming.find_job(api, "0" * 32) == f"job-{'0' * 32}"
    assert queen.asked == []


def test_an_ambiguous_job_is_refused_with_all_that_it_may_mean(queen: ScriptedQueen, api: QueenApi) -> None:
    queen.on("GET", "/v1/jobs", pages)

    with pytest.raises(InvalidRequest) as caught:
        naming.find_job(api, "abc")

    assert "job-abc111" in caught.value.message
    assert "job-abc999" in caught.value.message
    with pytest.raises(NotFound):
        naming.find_job(api, "fff")
    with pytest.raises(InvalidRequest, match="3 digits"):
        naming.find_job(api, "f")


def hive(
    digits: str, name: str, *, online: bool = True, kind: str = "hive", can: str = "cpu"
) -> dict[str, object]:
    return {"id": f"{digits:0<16}", "name": name, "online": online, "kind": kind, "capabilities": can.split()}


def fleet(queen: ScriptedQueen, *hives: dict[str, object]) -> None:
    queen.on("GET", "/v1/hives", Answer(body={"items": list(hives)}))


def test_a_hive_is_found_by_name_id_or_the_beginning_of_its_id(queen: ScriptedQueen, api: QueenApi) -> None:
    fleet(queen, hive("aaa1", "Box"), hive("bbb2", "mac"), hive("ccc3", "box two"))

    for given, name in (("box", "Box"), ("bbb20000000000000"[:16], "mac"), ("ccc", "box two")):
        assert naming.find_hive(api, given)["name"] == name


def test_hives_of_one_name_are_told_apart_by_their_ids(queen: ScriptedQueen, api: QueenApi) -> None:
    fleet(queen, hive("aaa1", "box"), hive("bbb2", "box", online=False))

    with pytest.raises(InvalidRequest, match=r"aaa1.*online.*bbb2.*offline"):
        naming.find_hive(api, "box")
    assert set(naming.hive_names(api).values()) == {"box (aaa1)", "box (bbb2)"}


def test_an_unknown_hive_is_answered_with_those_there_are(queen: ScriptedQueen, api: QueenApi) -> None:
    fleet(queen, hive("aaa1", "box"), hive("fff0", "queen", kind="queen"))

    with pytest.raises(NotFound) as caught:
        naming.find_hive(api, "nobody")

    assert caught.value.hint == "There are: box"


def test_the_obvious_target_is_the_only_hive_online_else_the_strongest_kind(
    queen: ScriptedQueen, api: QueenApi
) -> None:
    here, gone = hive("aaa1", "here"), hive("bbb2", "gone", online=False, can="cuda cpu")
    strong, own = hive("ccc3", "strong", can="cuda cpu"), hive("fff0", "queen", kind="queen")

    fleet(queen, here, gone, own)
    only_one = targets.obvious(api)
    fleet(queen, here, strong, own)
    several = targets.obvious(api)
    fleet(queen, gone, own)
    offline = targets.obvious(api)
    fleet(queen, own)

    assert only_one == {"hive": here["id"]}
    assert several == {"capability": "cuda"}
    assert offline == {"hive": gone["id"]}
    with pytest.raises(Conflict, match="No hive"):
        targets.obvious(api)
