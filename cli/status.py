"""`rbee status` and `rbee version`."""

import platform
from importlib.metadata import version
from typing import Any

import click

from cli import options, screen
from cli.queen_api import QueenApi, connect

COUNTED = 200
"""Jobs of a state that are counted; more are `200+`."""


@click.command()
@options.as_json
def status(as_json: bool) -> None:
    """Whether the queen is up, what is online and what runs. Exit code 3 when no queen answers."""
    api = connect()
    hives = [hive for hive in api.get("/v1/hives")["items"] if hive["kind"] == "hive"]
    found: dict[str, Any] = {
        "url": api.queen.url,
        "certificate": api.queen.certificate,
        "hives": {"online": sum(hive["online"] for hive in hives), "all": len(hives)},
        "jobs": {state: _count(api, state) for state in ("running", "queued", "paused")},
    }
    if as_json:
        screen.document(found)
        return
    offline = [hive["name"] for hive in hives if not hive["online"]]
    screen.facts(
        [
            ("Queen", screen.plain(f"up at {api.queen.url}", "green")),
            ("Certificate", f"SHA-256 {api.queen.certificate}" if api.queen.certificate else None),
            ("Hives", f"{found['hives']['online']} of {len(hives)} online"),
            ("Offline", ", ".join(offline) or None),
            ("Jobs", ", ".join(f"{_at_most(count)} {state}" for state, count in found["jobs"].items())),
        ]
    )


@click.command("version")
@options.as_json
def version_command(as_json: bool) -> None:
    """Print the version."""
    found: dict[str, Any] = {
        "rbee": version("rbee"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if as_json:
        screen.document(found)
    else:
        click.echo(f"rbee {found['rbee']} (Python {found['python']}, {found['platform']})")


def _count(api: QueenApi, state: str) -> int:
    return len(api.get("/v1/jobs", state=state, limit=COUNTED)["items"])


def _at_most(count: int) -> str:
    return f"{count}+" if count == COUNTED else str(count)
