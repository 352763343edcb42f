"""`rbee secret`: tokens that hives need. A value is never an argument: arguments are seen by everybody on the machine."""

import sys

import click

from cli import options, quantities, screen
from cli.queen_api import connect


@click.group()
def secret() -> None:
    """Tokens that hives need, such as HF_TOKEN; kept encrypted, sent only with a job that needs them."""


@secret.command("set")
@click.argument("name")
@options.as_json
def put(name: str, as_json: bool) -> None:
    """Store the secret NAME; its value is asked for, or read from stdin."""
    connect().put(f"/v1/secrets/{name}", {"value": _value(name).strip()})
    screen.document({"name": name, "set": True}) if as_json else screen.say(f"{name} is stored.")


@secret.command("ls")
@options.as_json
def list_secrets(as_json: bool) -> None:
    """List which secrets are set; never their values."""
    items = connect().get("/v1/secrets")["items"]
    if as_json:
        screen.document({"items": items})
        return
    rows = (
        (
            one["name"],
            screen.plain("set", "green") if one["set"] else "-",
            one["source"] or "",
            quantities.ago(one["updated_at"]) if one["updated_at"] else "",
        )
        for one in items
    )
    screen.table(("NAME", "SET", "FROM", "CHANGED"), rows)


@secret.command("rm")
@click.argument("name")
@options.as_json
def remove(name: str, as_json: bool) -> None:
    """Remove the stored secret NAME."""
    connect().delete(f"/v1/secrets/{name}")
    screen.document({"name": name, "set": False}) if as_json else screen.say(f"{name} is removed.")


def _value(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read()
    answer: str = click.prompt(f"Value of {name}", hide_input=True, err=True)
    return answer
