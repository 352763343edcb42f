"""Which queen a command speaks to, and that no key goes to another one."""

import json
from pathlib import Path

import pytest

from cli import address, logins, queens
from cli.address import Address
from cli.hive_join import decoded
from cli.logins import Login
from shared.errors import InvalidRequest, SettingsError, Unavailable

LOCAL = "http://127.0.0.1:9000"
REMOTE = "https://queen.example:7835"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login, no queen here, no settings."""
    for name in (
        "RBEE_QUEEN_URL",
        "RBEE_ADMIN_TOKEN",
        "RBEE_DATA_DIR",
        "RBEE_PORT",
        "RBEE_HOST",
        "RBEE_TLS_CERT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def local_queen(folder: Path) -> None:
    queen_dir = folder / "queen"
    queen_dir.mkdir(parents=True)
    (queen_dir / "admin.token").write_text("local-key\n")
    address.store(queen_dir, Address(LOCAL, None))


def test_without_anything_known_the_hint_says_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        queens.find()

    assert "rbee up" in (caught.value.hint or "")


def test_this_machines_queen_is_found_where_rbee_up_said(tmp_path: Path) -> None:
    local_queen(tmp_path / "share" / "rbee")

    found = queens.find()

    assert (found.url, found.key, found.local) == (LOCAL, "local-key", True)


def test_a_stored_login_wins_over_this_machine_unless_a_data_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_queen(tmp_path / "share" / "rbee")
    logins.store(Login(REMOTE, "stored-key", "ab" * 32))

    stored = queens.find()
    monkeypatch.setenv("RBEE_DATA_DIR", str(tmp_path / "share" / "rbee"))
    named = queens.find()

    assert (stored.url, stored.key, stored.certificate) == (REMOTE, "stored-key", "ab" * 32)
    assert (named.url, named.key) == (LOCAL, "local-key")


def test_the_environment_wins_over_the_stored_login_and_flags_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logins.store(Login(REMOTE, "stored-key"))
    monkeypatch.setenv("RBEE_QUEEN_URL", "http://10.0.0.1:1/")
    monkeypatch.setenv("RBEE_ADMIN_TOKEN", "environment-key-16")

    by_environment, by_flags = queens.find(), queens.find("http://10.0.0.2:2", "flag-key")

    assert (by_environment.url, by_environment.key) == ("http://10.0.0.1:1", "environment-key-16")
    assert (by_flags.url, by_flags.key) == ("http://10.0.0.2:2", "flag-key")


def test_no_key_is_sent_to_a_queen_that_it_was_not_given_for(tmp_path: Path) -> None:
    local_queen(tmp_path / "share" / "rbee")
    logins.store(Login(REMOTE, "stored-key"))

    with pytest.raises(SettingsError, match="no key is known"):
        queens.find("http://10.0.0.3:3")


def test_the_queens_own_machine_takes_the_short_way_whatever_its_public_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_queen(tmp_path / "share" / "rbee")
    monkeypatch.setenv("RBEE_QUEEN_URL", REMOTE)

    assert queens.find().url == LOCAL


@pytest.mark.parametrize("url", ["queen:7835", "ftp://queen", "http://queen/path", "http://me:pw@queen"])
def test_a_url_that_is_no_queens_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        queens.find(url, "key")


def test_a_stored_login_is_readable_by_its_owner_only() -> None:
    path = logins.store(Login(REMOTE, "stored-key"))

    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["key"] == "stored-key"
    assert logins.forget()
    assert not logins.forget()
    assert logins.load() is None


def test_a_damaged_login_is_named() -> None:
    logins.store(Login(REMOTE, "stored-key")).write_text("{")

    with pytest.raises(SettingsError, match="cannot be read"):
        queens.find()


@pytest.mark.parametrize("token", ["", "xxx", "e30", "bm8", "é"])
def test_what_is_no_join_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest, match="no join token"):
        decoded(token)
