"""Ports: free until somebody listens, open while somebody does."""

import socket

import pytest

from queen.ports import is_free, port_open


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_is_free_or_open_and_never_both(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = (is_free(host, port), port_open(host, port)())

    given_back = (is_free(host, port), port_open(host, port)())

    assert taken == (False, True)
    assert given_back == (True, False)
