"""Where a job shall run, from what was said and what the fleet looks like."""

from typing import Any

import click

from cli.naming import find_hive
from cli.queen_api import QueenApi
from shared.errors import Conflict
from shared.routing import CAPABILITIES

STRONGEST_FIRST = ("cuda", "metal", "cpu")
assert set(STRONGEST_FIRST) == set(CAPABILITIES)


def said(api: QueenApi, hive: str | None, capability: str | None, everywhere: bool) -> dict[str, Any] | None:
    """The target that the options name; None when they name none. Raises UsageError when they name several."""
    if sum(map(bool, (hive, capability, everywhere))) > 1:
        raise click.UsageError("Give one of --hive, --capability and --all.")
    if hive:
        return {"hive": find_hive(api, hive)["id"]}
    if capability:
        return {"capability": capability}
    return {"all": True} if everywhere else None


def obvious(api: QueenApi) -> dict[str, Any]:
    """Where nothing was said: the only hive there is; among several, one of the strongest kind, by the queen's choice."""
    fleet = [hive for hive in api.get("/v1/hives")["items"] if hive["kind"] == "hive"]
    online = [hive for hive in fleet if hive["online"]]
    choice = online or fleet
    if not choice:
        raise Conflict(
            "No hive is in the fleet.", hint="Start one: rbee up. Or join a machine: rbee hive token"
        )
    if len(choice) == 1:
        return {"hive": choice[0]["id"]}
    known = {capability for hive in choice for capability in hive["capabilities"]}
    return {"capability": next((name for name in STRONGEST_FIRST if name in known), "cpu")}
