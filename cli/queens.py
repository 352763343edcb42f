"""Which queen a command speaks to, and with which key.

The first of these that names one: the flags, the environment, the data folder where RBEE_DATA_DIR is set, the stored
login, this machine's data folder. A key is never sent to another queen than the one it belongs to.
"""

import os
import re
from dataclasses import dataclass, replace

import click

from cli import address, logins
from cli.address import local_url
from cli.logins import Login
from cli.settings import ClientSettings
from shared.errors import SettingsError, Unavailable

_URL = re.compile(r"https?://[^\s/@?#]+/?")


@dataclass(frozen=True)
class Queen:
    """`certificate` is the SHA-256 to pin, in hex. `local`: it was found in this machine's data folder."""

    url: str
    key: str
    certificate: str | None = None
    local: bool = False


def chosen(ctx: click.Context) -> Queen:
    """By the flags of the `rbee` command, which `ctx` is somewhere under."""
    flags = ctx.find_root().params
    return find(flags.get("url"), flags.get("key"))


def find(url: str | None = None, key: str | None = None) -> Queen:
    """Raises Unavailable when no queen is known, SettingsError when no key for it is."""
    settings = ClientSettings.load()
    key = key or (settings.admin_token.get_secret_value() if settings.admin_token else None)
    own, login = _own(settings), logins.load()
    if url:
        return _at(url, key, own, login)
    if settings.queen_url:
        # The queen's own machine says with it how others reach the queen; here the short way is taken.
        return own if own and not key else _at(settings.queen_url, key, own, login)
    stored = Queen(login.url, login.key, login.certificate) if login else None
    found = (own or stored) if os.environ.get("RBEE_DATA_DIR") else (stored or own)
    if found is None and key:
        found = _beside(settings, key)
    if found is None:
        raise Unavailable(
            "No queen is known here.", hint="Start one: rbee up. Or name one: rbee login URL --key KEY"
        )
    return replace(found, key=key) if key else found


def _at(url: str, key: str | None, own: Queen | None, login: Login | None) -> Queen:
    url = checked(url)
    stored = Queen(login.url, login.key, login.certificate) if login else None
    same = next((known for known in (stored, own) if known and known.url == url), None)
    if same:
        return replace(same, key=key) if key else same
    if not key:
        raise SettingsError(
            f"no key is known for {url}", hint=f"Give one with --key, or store it: rbee login {url}"
        )
    return Queen(url, key)


def checked(url: str) -> str:
    """Without a final slash. Raises SettingsError."""
    if not _URL.fullmatch(url):
        raise SettingsError(
            "the queen's URL cannot be used", hint="It looks like http://127.0.0.1:7835, without a path."
        )
    return url.rstrip("/")


def _own(settings: ClientSettings) -> Queen | None:
    """The queen of the data folder."""
    try:
        token = (settings.queen_dir / "admin.token").read_text().strip()
    except FileNotFoundError:
        return None
    except OSError:  # it belongs to another user of this machine
        return None
    return _beside(settings, token)


def _beside(settings: ClientSettings, key: str) -> Queen:
    where = address.load(settings.queen_dir)
    if where is None:
        where = address.Address(
            local_url(settings.host, settings.port, tls=settings.tls_cert is not None), None
        )
    return Queen(where.url, key, where.certificate, local=True)
