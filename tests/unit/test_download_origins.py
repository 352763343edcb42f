"""Which addresses are spoken to: https and public, unless somebody configured otherwise."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hive.download import Origins
from hive.download.faults import Interrupted
from hive.download.origins import onward_url
from shared.errors import JobFailed


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/file",
        "https://127.0.0.1/file",
        "https://10.0.0.7/file",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.1.1/file",
        "https://0.0.0.0/file",
        "https://[::1]/file",
        "https://[::ffff:127.0.0.1]/file",
        "https://[fe80::1]/file",
        "https://[fd00::1]/file",
        "https://[64:ff9b::7f00:1]/file",
        "https://[2002:7f00:1::]/file",
        "https://224.0.0.1/file",
        "https://2130706433/file",
        "https://localhost/file",
        "ftp://93.184.216.34/file",
        "file:///etc/passwd",
        "https:///file",
        "https://host:99999/file",
    ],
)
def test_private_plain_and_strange_addresses_are_forbidden(url: str) -> None:
    with pytest.raises(JobFailed) as failed:
        Origins().check(url, came_from=None)

    assert failed.value.code == "forbidden_address"
    assert failed.value.hint


@pytest.mark.parametrize("url", ["https://93.184.216.34/file", "https://[2606:2800:220:1::1]:8443/file"])
def test_public_https_addresses_are_allowed(url: str) -> None:
    target = Origins().check(url, came_from=None)

    assert target.url == url
    assert [address[0] for _, address in target.addresses] == [target.host]


@pytest.mark.parametrize(
    "entry", ["127.0.0.1", "127.0.0.1:8080", " LOCALHOST:8080 ", "[::1]:8080", "localhost"]
)
def test_configured_hosts_may_be_plain_and_private(entry: str) -> None:
    name = entry.strip().rsplit(":8080", 1)[0]

    target = Origins([entry]).check(f"http://{name}:8080/a b?q=ü", came_from=None)

    assert target.path == "/a%20b?q=%C3%BC"
    assert target.port == 8080


def test_a_configured_port_is_not_another_port() -> None:
    with pytest.raises(JobFailed):
        Origins(["127.0.0.1:8080"]).check("http://127.0.0.1:22/x", came_from=None)


def test_a_redirect_from_public_to_private_is_never_followed_even_if_configured() -> None:
    origins = Origins(["127.0.0.1", "10.0.0.7", "93.184.216.34"])

    with pytest.raises(JobFailed) as failed:
        origins.check("http://10.0.0.7/x", came_from="https://93.184.216.34/x")

    assert failed.value.code == "forbidden_address"
    assert origins.check("http://10.0.0.7/x", came_from="http://127.0.0.1/x").host == "10.0.0.7"


def test_a_redirect_from_private_leads_to_public_https_only() -> None:
    origins = Origins(["127.0.0.1"])

    assert origins.check("https://93.184.216.34/x", came_from="http://127.0.0.1/x").scheme == "https"
    with pytest.raises(JobFailed):
        origins.check("http://93.184.216.34/x", came_from="http://127.0.0.1/x")


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[list[str]]:
    """A resolver whose answer changes with every question, as in DNS rebinding."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked


def test_a_name_is_resolved_once_and_the_connection_goes_to_that_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with names(monkeypatch, "93.184.216.34", "127.0.0.1") as asked:
        target = Origins().check("https://rebinding.example/x", came_from=None)

    assert asked == ["rebinding.example"]
    assert [address for _, address in target.addresses] == [("93.184.216.34", 443)]


def test_a_name_with_a_private_address_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with names(monkeypatch, "10.1.2.3"), pytest.raises(JobFailed) as failed:
        Origins().check("https://intranet.example/x", came_from=None)

    assert failed.value.message == "intranet.example is on a private network."


def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    with pytest.raises(Interrupted, match="does not resolve"):
        Origins().check("https://no-such-host.invalid/x", came_from=None)


def test_relative_redirects_stay_on_their_host() -> None:
    assert onward_url("https://a.example/x/y", "../z?q=1") == "https://a.example/z?q=1"


@pytest.mark.parametrize("entry", [":80", "host:port"])
def test_a_bad_configured_entry_is_told_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|Port"):
        Origins([entry])
