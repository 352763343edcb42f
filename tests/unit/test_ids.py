"""Identifiers: one name for one thing, and no name that leaves its folder."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.ids import (
    HIVE_ID,
    JOB_ID,
    MAX_MODEL_ID,
    canonical_model_id,
    is_traversal,
    model_id_problem,
    new_hive_id,
    new_job_id,
    safe_id,
)


@pytest.mark.parametrize(
    "model",
    [
        "org/repo",
        "hf:org/repo",
        "org/repo:model.Q4_K_M.gguf",
        "org/repo:folder/model.gguf",
        "https://host/file.gguf",
        "https://host:8443/a/b?token=x",
        "http://127.0.0.1/x",
        "file:///models/a.gguf",
        "file:///models/a%20b.gguf",
    ],
)
def test_a_model_id_of_the_right_shape(model: str) -> None:
    assert model_id_problem(model) is None


@pytest.mark.parametrize(
    "model",
    [
        "",
        "repo",
        "/repo",
        "org/",
        "org/repo/",
        "org//repo",
        "../repo",
        "org/..",
        "org/a..b",
        ".org/repo",
        "org/repo:",
        "org/repo:../x",
        "org/repo:a/../x",
        "org/repo:/etc/passwd",
        "org/repo:a//b",
        "org/repo:a\x00",
        "org/repo\n",
        " org/repo",
        "org\\repo",
        "https://",
        "https:///file",
        "https://host",
        "https://host/",
        "https://user:pw@host/file",
        "https://host:port/file",
        "https://[::1/file",
        "file://host/models/a",
        "file:models/a",
        "file:///a/../b",
        "file:///a/%2e%2e/b",
        "ftp://host/file",
        "x" * (MAX_MODEL_ID + 1),
    ],
)
def test_a_model_id_of_the_wrong_shape_says_why(model: str) -> None:
    assert model_id_problem(model)


def test_the_optional_prefix_is_no_part_of_the_name() -> None:
    assert canonical_model_id("hf:org/repo") == canonical_model_id("org/repo") == "org/repo"


@given(st.text(min_size=1, max_size=400), st.text(min_size=1, max_size=400))
@example("a/b", "a-b")
@example("a/b", "a%2Fb")
@example("." * 5, "%2E....")
@example("a" * 240, "a" * 241)
def test_safe_ids_are_file_names_and_collide_never(one: str, other: str) -> None:
    names = safe_id(one), safe_id(other)

    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert len(name.encode()) <= 255
        assert not name.startswith(".")
        assert not set(name) & set("/\\\x00\n :")


@given(st.text("abc./", max_size=12))
def test_what_is_no_traversal_stays_inside(path: str) -> None:
    from pathlib import PurePosixPath

    if path and not is_traversal(path):
        assert not PurePosixPath(path).is_absolute()
        assert ".." not in PurePosixPath(path).parts
        assert str(PurePosixPath(path)) == path


def test_new_ids_have_the_shape_that_is_checked() -> None:
    assert HIVE_ID.fullmatch(new_hive_id())
    assert JOB_ID.fullmatch(new_job_id())
    assert len({new_job_id() for _ in range(1000)}) == 1000
