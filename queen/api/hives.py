"""`/v1/hives`: the fleet; joining it; and what a hive asks: claims, heartbeats, plans, outcomes."""

import time
from typing import Annotated, Any

from flask import Blueprint, request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from queen import artifacts, attempts, claims, hives, joining
from queen.api.requests import accepts, body_as
from queen.broker_acl import hive_user
from queen.broker_server import broker_url, url_of_user
from queen.guard import OPEN, needs, principal
from queen.hives import hive_view
from queen.principals import Scope
from queen.rows import Hive
from queen.services import services
from queen.settings import is_loopback
from shared.errors import Conflict, Forbidden, InvalidRequest, Unavailable
from shared.operations import OPERATIONS
from shared.protocol import ClaimRequest, Grant, Heartbeat, JoinAnswer, JoinRequest, OutcomeReport, PlanReport

fleet = Blueprint("hives", __name__, url_prefix="/v1")


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=256)]


class HivePatch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[\w][\w .-]*$")
    labels: dict[Label, LabelValue] | None = Field(default=None, max_length=32)


@fleet.get("/hives")
@needs(Scope.OPERATE)
def index() -> dict[str, Any]:
    """List the hives."""
    with services().database.read() as session:
        return {"items": hives.fleet_view(session, time.time())}


@fleet.get("/hives/<hive_id>")
@needs(Scope.OPERATE)
def show(hive_id: str) -> dict[str, Any]:
    """One hive."""
    with services().database.read() as session:
        return hive_view(hives.get(session, hive_id), artifacts.by_hive(session, hive_id)[hive_id])


@fleet.patch("/hives/<hive_id>")
@needs(Scope.ADMIN)
@accepts(HivePatch)
def change(hive_id: str) -> dict[str, Any]:
    """Rename a hive, or set its labels."""
    patch = body_as(HivePatch)
    with services().database.write() as tx:
        hives.describe(tx, hive_id, name=patch.name, labels=patch.labels)
    return show(hive_id)


@fleet.delete("/hives/<hive_id>")
@needs(Scope.ADMIN)
def remove(hive_id: str) -> tuple[str, int]:
    """Remove a hive; its jobs fail with that reason, its token and its broker user end."""
    with services().database.write() as tx:
        hive = joining.remove(tx, hive_id)
    services().principals.forget()
    joining.disallow_on_broker(services().redis, hive.id)
    return "", 204


@fleet.post("/hives")
@needs(OPEN)
@accepts(JoinRequest)
def join() -> tuple[dict[str, Any], int]:
    """Join the fleet with a one-time join token; answers with the hive's own token and broker user, once."""
    with services().database.write() as tx:
        identity = joining.join(tx, body_as(JoinRequest))
    hive: Hive = identity.hive
    try:
        joining.allow_on_broker(services().redis, hive)
    except Unavailable:
        with services().database.write() as tx:
            joining.take_back(tx, identity)
        raise
    answer = JoinAnswer(
        id=hive.id,
        name=hive.name,
        kind="hive",
        token=identity.token,
        broker_url=url_of_user(
            broker_url(services().settings), hive_user(hive.id), identity.broker_password, host=_broker_host()
        ),
    )
    return answer.model_dump(), 201


@fleet.post("/hives/<hive_id>/claims")
@needs(Scope.HIVE)
@accepts(ClaimRequest)
def claim(hive_id: str) -> dict[str, Any]:
    """Claim one job by name, or as many as the lanes have room for (`{"grants": […]}`)."""
    _is_self(hive_id)
    wanted = body_as(ClaimRequest)
    if wanted.lanes is None and (wanted.job_id is None or wanted.attempt is None):
        raise InvalidRequest("Name job_id and attempt, or lanes.")
    with services().database.write() as tx:
        granted = [_with_secrets(tx.session, grant) for grant in claims.claim(tx, hive_id, wanted)]
    if wanted.job_id is not None:
        return granted[0]
    return {"grants": granted}


@fleet.post("/hives/<hive_id>/heartbeat")
@needs(Scope.HIVE)
@accepts(Heartbeat)
def heartbeat(hive_id: str) -> dict[str, Any]:
    """Renew leases; hear what to cancel, to pause, what was lost, what is recorded and whether work waits."""
    _is_self(hive_id)
    return services().heartbeats.beat(hive_id, body_as(Heartbeat)).model_dump(mode="json")


@fleet.put("/jobs/<job_id>/attempts/<int:attempt>/plan")
@needs(Scope.HIVE)
@accepts(PlanReport)
def store_plan(job_id: str, attempt: int) -> dict[str, Any]:
    """Store what the vendor said, and reserve the room. 409 `no_room` when it does not fit on this hive."""
    report = body_as(PlanReport)
    with services().database.write() as tx:
        verdict = attempts.store_plan(tx, job_id, attempt, _hive_id(), report)
    if verdict.filter == "disk":
        raise Conflict(verdict.reason or "It does not fit.", code="no_room", details=[verdict.as_dict()])
    return {}


@fleet.put("/jobs/<job_id>/attempts/<int:attempt>")
@needs(Scope.HIVE)
@accepts(OutcomeReport)
def finish(job_id: str, attempt: int) -> dict[str, Any]:
    """Report the outcome of an attempt; repeating it is harmless. `next` is a claim, answered with `grants`."""
    report = body_as(OutcomeReport)
    with services().database.write() as tx:
        job = attempts.finish(tx, job_id, attempt, _hive_id(), report)
        following = claims.claim(tx, _hive_id(), report.next) if report.next else []
        granted = [_with_secrets(tx.session, grant) for grant in following]
    return {"state": job.state, "grants": granted}


def _broker_host() -> str | None:
    """The built-in broker as the joining hive reaches it: where it found us, unless the broker listens on loopback only."""
    settings = services().settings
    if settings.redis_url or is_loopback(settings.broker_host):
        return None
    everywhere = settings.broker_host in {"0.0.0.0", "::"}  # noqa: S104 - a comparison, not a bind
    return request.host.rsplit(":", 1)[0] if everywhere else settings.broker_host


def _with_secrets(session: Session, grant: Grant) -> dict[str, Any]:
    answer = grant.model_dump(mode="json")
    if OPERATIONS[grant.operation].asks_vendor:
        answer["secrets"] = services().vault.for_model(session, grant.params["model"])
    return answer


def _is_self(hive_id: str) -> None:
    if principal().hive_id != hive_id:
        raise Forbidden("A hive speaks for itself alone.")


def _hive_id() -> str:
    hive_id = principal().hive_id
    assert hive_id is not None
    return hive_id
