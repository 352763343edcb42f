"""The built-in broker, really running, for tests that need no other process."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from queen import broker_server
from queen.settings import QueenSettings


@contextmanager
def running_broker(settings: QueenSettings) -> Iterator[str]:
    """Yields the URL of the queen's user."""
    broker_server.write_config(settings)
    server = subprocess.Popen(broker_server.argv(broker_server.find_server(), settings))
    try:
        assert broker_server.wait_ready(broker_server.broker_url(settings), 10)
        yield broker_server.broker_url(settings)
    finally:
        server.terminate()
        server.wait(10)
