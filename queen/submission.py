"""From a request to a queued job: every check comes before the row."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import col, select

from queen import dispatch, events, hives, jobs
from queen.database import Transaction
from queen.placement import Wanted, place
from queen.rows import IdempotencyKey, Job
from shared.errors import Conflict, InvalidRequest, Unprocessable
from shared.ids import new_job_id
from shared.operations import OPERATIONS, Operation
from shared.routing import CAPABILITIES
from shared.states import ACTIVE
from shared.timing import IDEMPOTENCY


class Target(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hive: str | None = Field(default=None, min_length=1, max_length=64)
    capability: str | None = None
    all: bool | None = None
    ssh: str | None = Field(default=None, min_length=1, max_length=64)


@dataclass(frozen=True)
class Submission:
    operation: Operation
    params: dict[str, Any]
    target: dict[str, Any]

    @property
    def body_hash(self) -> str:
        body = json.dumps([self.operation.name, self.params, self.target], sort_keys=True)
        return hashlib.sha256(body.encode()).hexdigest()


def parse(body: object) -> Submission:
    """Checks a request body; all field errors come at once, and the bad value is never repeated."""
    if not isinstance(body, dict):
        raise InvalidRequest(
            "The body must be a JSON object.", hint='Like {"operation": "model_download", …}'
        )
    name = body.get("operation")
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        raise InvalidRequest(
            "The operation is not known.",
            code="unknown_operation",
            details=[{"field": "operation", "message": "must be one of " + ", ".join(OPERATIONS)}],
        )
    details: list[dict[str, Any]] = []
    params = _check(
        operation.params, {k: v for k, v in body.items() if k not in {"operation", "target"}}, "", details
    )
    target = _check(Target, body.get("target"), "target", details)
    if target is not None:
        details.extend(_target_problems(target))
    if details or params is None or target is None:
        raise InvalidRequest("The request has fields that cannot be used.", details=details)
    return Submission(operation, params, target)


def submit(
    tx: Transaction, submission: Submission, *, principal: str, idempotency_key: str | None = None
) -> Job:
    """Inserts the job, or answers with the one that already does the same; of two at once, one sees the other."""
    now = time.time()
    events.lock(tx)
    if idempotency_key and (known := _known(tx, principal, idempotency_key, submission)):
        return known
    job = _same_active(tx, submission) or _insert(tx, submission, principal, now)
    if idempotency_key:
        tx.session.merge(
            IdempotencyKey(
                principal=principal,
                key=idempotency_key,
                body_hash=submission.body_hash,
                job_id=job.id,
                created_at=now,
            )
        )
    return job


def _insert(tx: Transaction, submission: Submission, principal: str, now: float) -> Job:
    target = submission.target
    if "all" in target:
        return _insert_for_all(tx, submission, principal, now)
    if "hive" in target:
        hives.get(tx.session, target["hive"])
    job = jobs.create(tx, _row(submission, target, principal, now))
    dispatch.send(tx, job, now)
    return job


def _insert_for_all(tx: Transaction, submission: Submission, principal: str, now: float) -> Job:
    operation = submission.operation
    fleet = hives.candidates(tx.session, now, operation.resource(submission.params))
    decision = place(Wanted(operation=operation.name), fleet)
    fitting = [verdict.hive_id for verdict in decision.verdicts if verdict.fits]
    if not fitting:
        raise Conflict(
            "No hive fits.",
            code="no_hive_fits",
            details=[verdict.as_dict() for verdict in decision.verdicts],
            hint="Start a hive, or name one as the target and let the job wait for it.",
        )
    parent = _row(submission, submission.target, principal, now)
    parent.is_parent = True
    jobs.create(tx, parent)
    for hive_id in fitting:
        child = _row(submission, {"hive": hive_id}, principal, now)
        child.parent_id = parent.id
        dispatch.send(tx, jobs.create(tx, child), now)
    return parent


def _row(submission: Submission, target: dict[str, Any], principal: str, now: float) -> Job:
    operation = submission.operation
    return Job(
        id=new_job_id(),
        operation=operation.name,
        params=submission.params,
        target=target,
        lane=operation.lane,
        resource=operation.resource(submission.params),
        writes=operation.writes,
        principal=principal,
        hive_id=target.get("hive"),
        capability=target.get("capability"),
        excluded={},
        created_at=now,
        updated_at=now,
    )


def _same_active(tx: Transaction, submission: Submission) -> Job | None:
    """The active job with the same operation, parameters and target, if any."""
    resource = submission.operation.resource(submission.params)
    active = tx.session.exec(
        select(Job).where(
            Job.operation == submission.operation.name,
            Job.resource == resource,
            col(Job.state).in_(ACTIVE),
            col(Job.cancel_requested_at).is_(None),
            col(Job.pause_requested_at).is_(None),
            col(Job.parent_id).is_(None),
        )
    )
    return next(
        (job for job in active if job.params == submission.params and job.target == submission.target), None
    )


def _known(tx: Transaction, principal: str, key: str, submission: Submission) -> Job | None:
    row = tx.session.get(IdempotencyKey, (principal, key))
    if row is None or row.created_at < time.time() - IDEMPOTENCY:
        return None
    if row.body_hash != submission.body_hash:
        raise Unprocessable(
            "This Idempotency-Key was used with another body.",
            code="idempotency_mismatch",
            hint="Use a new key.",
        )
    return tx.session.get(Job, row.job_id)


def _check(
    model: type[BaseModel], value: object, prefix: str, details: list[dict[str, Any]]
) -> dict[str, Any] | None:
    if prefix and value is None:
        message = 'is missing: {"hive": id}, {"capability": "cuda"|"metal"|"cpu"} or {"all": true}'
        details.append({"field": prefix, "message": message})
        return None
    try:
        return model.model_validate(value).model_dump(exclude_none=True)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            field = ".".join(filter(None, [prefix, *map(str, problem["loc"])]))
            details.append({"field": field, "message": problem["msg"].removeprefix("Value error, ")})
        return None


def _target_problems(target: dict[str, Any]) -> list[dict[str, str]]:
    if len(target) != 1:
        return [{"field": "target", "message": "must name exactly one of hive, capability, all"}]
    if "capability" in target and target["capability"] not in CAPABILITIES:
        return [{"field": "target.capability", "message": "must be cuda, metal or cpu"}]
    if target.get("all") is False:
        return [{"field": "target.all", "message": "must be true"}]
    if "ssh" in target:
        return [{"field": "target.ssh", "message": "is not a target of this operation"}]
    return []
