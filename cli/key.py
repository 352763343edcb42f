"""`rbee key`: API keys."""

from typing import Any

import click

from cli import options, quantities, screen
from cli.queen_api import QueenApi, connect
from shared.errors import InvalidRequest, NotFound

SCOPES = ("admin", "operate", "inference")


@click.group()
def key() -> None:
    """API keys of the queen."""


@key.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=["operate"], show_default=True
)
@options.as_json
def create(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key called NAME; its text is shown this once."""
    made = connect().post("/v1/keys", {"name": name, "scopes": list(scopes)})
    if as_json:
        screen.document(made)
        return
    click.echo(made["token"])
    screen.say(
        f"{made['id']}, for {' and '.join(made['scopes'])}. It is not shown again.", "bright_black", err=True
    )


@key.command("ls")
@options.as_json
def list_keys(as_json: bool) -> None:
    """List the keys by fingerprint."""
    items = connect().get("/v1/keys")["items"]
    if as_json:
        screen.document({"items": items})
        return
    if not items:
        screen.say("There are no keys. Make one: rbee key create NAME", err=True)
        return
    rows = (
        (
            one["name"],
            one["id"],
            one["fingerprint"],
            " ".join(one["scopes"]),
            quantities.ago(one["created_at"]),
        )
        for one in items
    )
    screen.table(("NAME", "ID", "FINGERPRINT", "SCOPES", "CREATED"), rows, elastic="NAME")


@key.command("rm")
@click.argument("key")
@options.as_json
def remove(key: str, as_json: bool) -> None:
    """Revoke a key, by id, name or fingerprint."""
    api = connect()
    found = _find(api, key)
    api.delete(f"/v1/keys/{found['id']}")
    screen.document(found) if as_json else screen.say(f"{found['name']} ({found['id']}) is revoked.")


def _find(api: QueenApi, given: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        one for one in api.get("/v1/keys")["items"] if given in {one["id"], one["name"], one["fingerprint"]}
    ]
    if not found:
        raise NotFound(f"There is no key {given}.", hint="List them: rbee key ls")
    if len(found) > 1:
        raise InvalidRequest(f"Several keys are called {given}: {', '.join(one['id'] for one in found)}")
    return found[0]
