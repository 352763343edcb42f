"""Placement is a pure function: filters in order with the number that decides, then scores."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queen.placement import AVAILABLE, Candidate, Wanted, judge, place
from shared.timing import PROTOCOL

GIB = 1 << 30
HIVE = Candidate(
    id="a" * 16,
    name="attic",
    kind="hive",
    online=True,
    protocol=PROTOCOL,
    operations=frozenset({"model_download"}),
    capabilities=frozenset({"cpu"}),
    disk_free=100 * GIB,
    reserved=0,
    load=0,
)
WANTED = Wanted(operation="model_download", size=10 * GIB)


@pytest.mark.parametrize(
    ("hive", "wanted", "name", "need", "have"),
    [
        ({"online": False}, {}, "online", "online", "offline"),
        ({"kind": "queen"}, {}, "kind", "hive", "queen"),
        ({"protocol": 99}, {}, "protocol", PROTOCOL, 99),
        ({"operations": frozenset()}, {}, "operations", "model_download", None),
        ({}, {"hive": "b" * 16}, "target", "b" * 16, "a" * 16),
        ({}, {"capability": "cuda"}, "capability", "cuda", "cpu"),
        ({}, {"excluded": {"a" * 16: "No room."}}, "excluded", None, None),
        ({"disk_free": 10 * GIB}, {}, "disk", int(10.5 * GIB), 10 * GIB),
        ({"reserved": 95 * GIB}, {}, "disk", int(10.5 * GIB), 5 * GIB),
        ({"reserved": 200 * GIB}, {}, "disk", int(10.5 * GIB), 0),
    ],
)
def test_the_first_filter_that_fails_says_what_would_pass(
    hive: dict[str, Any], wanted: dict[str, Any], name: str, need: object, have: object
) -> None:
    verdict = judge(replace(WANTED, **wanted), replace(HIVE, **hive))

    assert (verdict.fits, verdict.filter, verdict.need, verdict.have) == (False, name, need, have)
    assert verdict.reason


def test_filters_come_in_their_order() -> None:
    broken = replace(HIVE, online=False, kind="queen", protocol=0, disk_free=0)

    assert judge(WANTED, broken).filter == "online"
    assert judge(WANTED, broken, ignore_online=True).filter == "kind"


@pytest.mark.parametrize(
    ("held", "done", "room", "fits"),
    [
        (AVAILABLE, 0, 0, True),
        ("downloading", 8 * GIB, 3 * GIB, True),
        ("downloading", 8 * GIB, 2 * GIB, False),
        (None, 8 * GIB, 3 * GIB, False),
    ],
)
def test_what_is_there_already_needs_no_room(held: str | None, done: int, room: int, fits: bool) -> None:
    hive = replace(HIVE, held=held, disk_free=room)

    assert judge(replace(WANTED, done=done), hive).fits is fits


def test_an_unknown_size_fits_anywhere() -> None:
    assert judge(replace(WANTED, size=None), replace(HIVE, disk_free=0)).fits


def test_holding_it_beats_pieces_beats_idleness_beats_room() -> None:
    roomy = replace(HIVE, id="1" * 16, disk_free=900 * GIB, load=1)
    idle = replace(HIVE, id="2" * 16)
    pieces = replace(HIVE, id="3" * 16, held="downloading", load=3)
    holder = replace(HIVE, id="4" * 16, held=AVAILABLE, load=9)
    order = []
    left = [roomy, idle, pieces, holder]

    while left:
        choice = place(WANTED, left).choice
        order.append(choice)
        left = [hive for hive in left if hive.id != choice]

    assert order == [holder.id, pieces.id, idle.id, roomy.id]


def test_without_hives_there_is_no_choice() -> None:
    assert place(WANTED, []).as_dict() == {"choice": None, "hives": []}


candidates = st.builds(
    Candidate,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    name=st.just("x"),
    kind=st.sampled_from(["hive", "queen"]),
    online=st.booleans(),
    protocol=st.sampled_from([PROTOCOL, 0]),
    operations=st.sampled_from([frozenset(), frozenset({"model_download"})]),
    capabilities=st.frozensets(st.sampled_from(["cuda", "cpu"])),
    disk_free=st.integers(0, 1 << 45),
    reserved=st.integers(0, 1 << 45),
    load=st.integers(0, 100),
    held=st.sampled_from([None, AVAILABLE, "downloading"]),
)


@given(st.lists(candidates, max_size=6, unique_by=lambda hive: hive.id), st.none() | st.integers(0, 1 << 44))
def test_the_choice_fits_and_does_not_depend_on_the_order(fleet: list[Candidate], size: int | None) -> None:
    wanted = Wanted("model_download", size=size, capability="cpu")

    decision = place(wanted, fleet)

    fitting = {verdict.hive_id for verdict in decision.verdicts if verdict.fits}
    assert (decision.choice in fitting) if fitting else decision.choice is None
    assert decision.choice == place(wanted, fleet[::-1]).choice
    assert [verdict.hive_id for verdict in decision.verdicts] == [hive.id for hive in fleet]
