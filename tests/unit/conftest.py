"""What unit tests share."""

from collections.abc import Iterator

import pytest

from tests.hubs.download_rig import leftovers
from tests.hubs.file_server import FileServer


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No thread and no socket of a download outlives the test."""
    before = leftovers()
    yield
    assert leftovers(before) == ([], [])
