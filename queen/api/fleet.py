"""`/v1/artifacts` and `/v1/instances`: what lies and what runs on the fleet."""

import time
from typing import Any

from flask import Blueprint

from queen import artifacts, hives
from queen.guard import needs
from queen.principals import Scope
from queen.services import services

holdings = Blueprint("holdings", __name__, url_prefix="/v1")


@holdings.get("/artifacts")
@needs(Scope.OPERATE)
def list_artifacts() -> dict[str, Any]:
    """Models and worker packages on the fleet, one item for each hive that has one."""
    with services().database.read() as session:
        fleet, items = hives.members(session), artifacts.by_hive(session)
    return {
        "items": [
            {**item, "hive_id": hive.id, "hive": hive.name} for hive in fleet for item in items[hive.id]
        ]
    }


@holdings.get("/instances")
@needs(Scope.OPERATE)
def list_instances() -> dict[str, Any]:
    """Running workers of the fleet."""
    with services().database.read() as session:
        fleet = hives.fleet_view(session, time.time())
    return {"items": [worker for hive in fleet for worker in hive["workers"]]}
