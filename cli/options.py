"""Options that several commands share, and what a shell completes for them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cli import quantities
from cli.queen_api import QueenApi
from cli.queens import chosen
from shared.errors import RbeeError
from shared.routing import CAPABILITIES

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


def _completes(items: Callable[[QueenApi], list[CompletionItem]]) -> Callable[..., list[CompletionItem]]:
    """What fits of `items`; nothing when no queen answers, for a shell has nowhere to show an error."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return [item for item in items(QueenApi(chosen(ctx))) if item.value.startswith(incomplete)]
        except RbeeError:
            return []

    return complete


@_completes
def complete_hive(api: QueenApi) -> list[CompletionItem]:
    return [
        CompletionItem(hive["name"], help=hive["id"])
        for hive in api.get("/v1/hives")["items"]
        if hive["kind"] == "hive"
    ]


@_completes
def complete_job(api: QueenApi) -> list[CompletionItem]:
    return [
        CompletionItem(quantities.short(job["id"]), help=f"{job['state']}: {job['title']}")
        for job in api.get("/v1/jobs", limit=50)["items"]
    ]


@_completes
def complete_model(api: QueenApi) -> list[CompletionItem]:
    found = {
        item["id"]: item["hive"] for item in api.get("/v1/artifacts")["items"] if item["kind"] == "model"
    }
    return [CompletionItem(model, help=hive) for model, hive in found.items()]


def job_argument(name: str = "job", *, several: bool = False) -> Callable[[Command], Command]:
    return click.argument(
        name,
        metavar="ID..." if several else "ID",
        nargs=-1 if several else 1,
        required=True,
        shell_complete=complete_job,
    )


hive_argument = click.argument("hive", shell_complete=complete_hive)
model_argument = click.argument("model", metavar="MODEL")
known_model_argument = click.argument("model", metavar="MODEL", shell_complete=complete_model)


def targets(command: Command) -> Command:
    """--hive, --capability and --all; see `cli.targets`."""
    for option in (
        click.option("--all", "everywhere", is_flag=True, help="Every hive that fits."),
        click.option(
            "--capability",
            type=click.Choice(CAPABILITIES),
            help="A hive that can do this; the queen chooses.",
        ),
        click.option(
            "--hive", metavar="NAME", shell_complete=complete_hive, help="This hive, by name or id."
        ),
    ):
        command = option(command)
    return command
