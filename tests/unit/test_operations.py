"""The table of verbs, and what a request must look like before it becomes a job."""

from typing import Any

import pytest

from queen.submission import parse
from shared.errors import InvalidRequest
from shared.operations import OPERATIONS, Lane

TARGET = {"capability": "cpu"}


def test_the_same_model_is_the_same_resource_however_it_is_spelled() -> None:
    one = parse({"operation": "model_download", "model": "hf:org/repo", "target": TARGET})
    other = parse({"operation": "model_delete", "model": "org/repo", "target": TARGET})

    assert one.operation.resource(one.params) == other.operation.resource(other.params) == "model:org/repo"


def test_reading_shares_and_writing_does_not() -> None:
    assert not OPERATIONS["model_verify"].writes
    assert OPERATIONS["model_download"].writes
    assert OPERATIONS["model_delete"].writes
    assert OPERATIONS["model_download"].lane == Lane.DOWNLOAD


def test_only_what_asks_a_vendor_gets_its_token() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.asks_vendor} == {"model_download"}


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "a" * 40])
def test_a_revision(revision: str) -> None:
    body = {"operation": "model_download", "model": "org/repo", "revision": revision, "target": TARGET}

    assert parse(body).params == {"model": "org/repo", "revision": revision}


@pytest.mark.parametrize(
    "revision", ["", "../main", "a//b", "a.lock", "a/", "-x", "a b", "a\n", "x" * 201, 1]
)
def test_no_revision(revision: Any) -> None:
    body = {"operation": "model_download", "model": "org/repo", "revision": revision, "target": TARGET}

    with pytest.raises(InvalidRequest) as refused:
        parse(body)

    assert refused.value.details is not None
    assert [detail["field"] for detail in refused.value.details] == ["revision"]


def test_the_same_request_has_the_same_hash_and_another_one_has_not() -> None:
    body = {"operation": "model_download", "model": "org/repo", "target": TARGET}
    reordered = dict(reversed(body.items()))

    assert parse(body).body_hash == parse(reordered).body_hash
    assert parse(body).body_hash != parse({**body, "revision": "main"}).body_hash
