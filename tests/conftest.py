"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests.hubs.file_server import FileServer
from tests.stack import Stack


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An rbee of this test's own, for tests that kill parts of it."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One rbee for all tests that leave it whole."""
    with Stack(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
