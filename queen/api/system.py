"""`/health`, `/metrics` and `/openapi.json`."""

import time
from typing import Any

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST
from sqlmodel import func, select

from queen import metrics
from queen.api.openapi import describe
from queen.guard import OPEN, needs
from queen.principals import Scope
from queen.rows import Job
from queen.services import services

system = Blueprint("system", __name__)


@system.get("/health")
@needs(OPEN)
def health() -> dict[str, Any]:
    """Whether this process answers and reaches its database."""
    with services().database.read() as session:
        session.exec(select(func.count()).select_from(Job).where(Job.id == "")).one()
    return {"status": "ok"}


@system.get("/metrics")
@needs(Scope.OPERATE)
def prometheus() -> Response:
    """Metrics in Prometheus' text format."""
    return Response(metrics.exposition(services(), time.time()), content_type=CONTENT_TYPE_LATEST)


@system.get("/openapi.json")
@needs(OPEN)
def openapi() -> dict[str, Any]:
    """This description."""
    return describe(current_app)
