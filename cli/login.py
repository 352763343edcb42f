"""`rbee login` and `rbee logout`."""

import sys

import click

from cli import logins, options, queens, screen
from cli.logins import Login
from cli.queen_api import QueenApi, connect
from cli.queens import Queen
from shared.errors import InvalidRequest


@click.command()
@click.argument("url", required=False)
@click.option("--key", help="With URL: the key, rather than being asked for it.")
@click.option(
    "--fingerprint",
    metavar="SHA256",
    help="With URL: the certificate to trust, as rbee status prints it there.",
)
@click.option("--token", is_flag=True, help="Print the key that the commands use.")
@options.as_json
def login(url: str | None, key: str | None, fingerprint: str | None, token: bool, as_json: bool) -> None:
    """Make a link that logs a browser in, once. On the queen's own machine nothing else is needed.

    With URL: store a login to the queen there, for all further commands of this user. The key is the admin's
    (`rbee login --token` on the queen) or one of `rbee key create`.
    """
    if url:
        _store(url, key, fingerprint, as_json)
    elif key or fingerprint:
        raise click.UsageError("--key and --fingerprint belong to a URL.")
    elif token:
        found = queens.chosen(click.get_current_context())
        screen.document({"url": found.url, "key": found.key}) if as_json else click.echo(found.key)
    else:
        made = connect().post("/v1/login-tokens")
        screen.document(made) if as_json else click.echo(made["url"])


@click.command()
def logout() -> None:
    """Forget the stored login."""
    gone = logins.forget()
    screen.say("The stored login is gone." if gone else "No login was stored.")


def _store(url: str, key: str | None, fingerprint: str | None, as_json: bool) -> None:
    pinned = _digits(fingerprint) if fingerprint else None
    queen = Queen(queens.checked(url), key or _asked(), pinned)
    QueenApi(queen).get("/v1/hives")
    path = logins.store(Login(queen.url, queen.key, queen.certificate))
    if as_json:
        screen.document({"url": queen.url})
    else:
        screen.say(f"Logged in to {queen.url}; kept in {path}")


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    answer: str = click.prompt("Key", hide_input=True, err=True)
    return answer.strip()


def _digits(fingerprint: str) -> str:
    """Also as openssl writes it, with colons."""
    digits = fingerprint.replace(":", "").lower()
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise InvalidRequest("The fingerprint is not a SHA-256, 64 hexadecimal digits.")
    return digits
