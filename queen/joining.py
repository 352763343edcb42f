"""How a hive comes into the fleet, and how it is sent away: one-time tokens, its own token, its own broker user."""

import json
import logging
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from redis import Redis, RedisError
from sqlmodel import col, delete, select, update

from queen import artifacts, broker_acl, dispatch, hives, jobs
from queen.database import Database, Transaction
from queen.principals import new_token, token_hash
from queen.rows import Hive, Job, JoinToken
from queen.tales import LiveHive
from shared.errors import Unauthorized, Unavailable
from shared.ids import new_hive_id
from shared.protocol import JoinRequest
from shared.states import FINAL, JobState

log = logging.getLogger(__name__)

Allowed = dict[str, tuple[str, ...]]
"""Hive id → its broker password's hash and its capabilities: what its broker user is made of."""

TOKEN_LIFE = 3600
"""Seconds that a join token may wait to be used."""


@dataclass(frozen=True)
class Identity:
    """What a new hive is told once, and keeps."""

    hive: Hive
    token: str
    broker_password: str


def new_join_token(tx: Transaction, *, queen_url: str, certificate: str | None) -> tuple[JoinToken, str]:
    """A one-time token. The text carries the queen's URL and its certificate's SHA-256, so that nothing else is needed."""
    secret = new_token("join")
    now = time.time()
    row = JoinToken(
        id=f"join-{token_hash(secret)[:12]}",
        token_hash=token_hash(secret),
        created_at=now,
        expires_at=now + TOKEN_LIFE,
    )
    tx.session.add(row)
    body = json.dumps({"url": queen_url, "fingerprint": certificate, "token": secret}, separators=(",", ":"))
    return row, urlsafe_b64encode(body.encode()).decode().rstrip("=")


def join(tx: Transaction, request: JoinRequest) -> Identity:
    """Redeems the token. The broker user is made after COMMIT, by `allow_on_broker`."""
    now = time.time()
    identity = register(tx, request, kind="hive", now=now)
    used = tx.session.execute(
        update(JoinToken)
        .where(
            col(JoinToken.token_hash) == token_hash(request.token),
            col(JoinToken.used_at).is_(None),
            col(JoinToken.expires_at) > now,
        )
        .values(used_at=now, hive_id=identity.hive.id)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise Unauthorized(
            "This join token was used or is too old.",
            code="join_token",
            hint="Make a new one: rbee hive token",
        )
    return identity


def register(tx: Transaction, request: JoinRequest, *, kind: str, now: float) -> Identity:
    token, password = new_token("hive"), new_token("broker")
    hive = Hive(
        id=new_hive_id(),
        name=request.name,
        kind=kind,
        token_hash=token_hash(token),
        broker_password_hash=token_hash(password),
        facts=request.facts.model_dump(mode="json"),
        protocol=request.protocol,
        labels={},
        joined_at=now,
    )
    tx.session.add(hive)
    tx.session.flush()
    tx.tales.append(LiveHive(hive.id))
    return Identity(hive, token, password)


def allow_on_broker(redis: Redis, hive: Hive) -> None:
    """Makes the hive's broker user. Raises Unavailable."""
    try:
        broker_acl.apply(redis, hive.id, hive.facts.get("capabilities", []), hive.broker_password_hash)
        broker_acl.save(redis)
    except RedisError as error:
        raise Unavailable(
            "The broker did not take the hive's user.", hint="Is the broker up? Then join again."
        ) from error


def allow_all_on_broker(database: Database, redis: Redis, allowed: Allowed) -> Allowed:
    """Every member's user as the rows have it, and no user of a removed hive. Returns what now holds.

    `allowed` is what is known to hold, {} after a start of the broker: a hive that found a GPU needs that capability's queue.
    """
    with database.read() as session:
        fleet = hives.members(session)
        removed = list(session.exec(select(Hive.id).where(col(Hive.removed_at).is_not(None))))
    wanted = {
        hive.id: (hive.broker_password_hash, *sorted(hive.facts.get("capabilities", []))) for hive in fleet
    }
    for hive in fleet:
        if allowed.get(hive.id) != wanted[hive.id]:
            allow_on_broker(redis, hive)
    if not removed:
        return wanted
    known = {user.decode() if isinstance(user, bytes) else user for user in redis.acl_users()}
    for hive_id in removed:
        if broker_acl.hive_user(hive_id) in known:
            broker_acl.remove(redis, hive_id)
    return wanted


def remove(tx: Transaction, hive_id: str) -> Hive:
    """Sends a hive away; its jobs fail with that reason."""
    hives.get(tx.session, hive_id)
    hive = hives.lock(tx, hive_id)
    now = time.time()
    hive.removed_at = now
    artifacts.forget(tx, hive_id)
    left = tx.session.exec(select(Job.id).where(Job.hive_id == hive.id, col(Job.state).not_in(FINAL)))
    for job in jobs.get_all(tx, list(left)):
        leave(tx, job, hive, now)
    tx.tales.append(LiveHive(hive.id))
    return hive


def leave(tx: Transaction, job: Job, hive: Hive, now: float) -> None:
    """What becomes of a locked job of a removed hive: it fails with that reason, unless it only waited for any hive."""
    if job.hive_id != hive.id or job.state in FINAL:
        return
    if job.state == JobState.QUEUED and job.capability:
        dispatch.send(tx, job, now)
        return
    error = {
        "code": "hive_removed",
        "message": f"{hive.name} was removed from the fleet.",
        "hint": "Submit the job again for another hive.",
    }
    jobs.fail(tx, job, error, now)


def disallow_on_broker(redis: Redis, hive_id: str) -> None:
    """Ends the hive's broker user; while the broker is away, the recorder does it at the broker's return."""
    try:
        broker_acl.remove(redis, hive_id)
    except RedisError as error:
        log.warning("action=disallow hive=%s error=%s", hive_id, type(error).__name__)


def take_back(tx: Transaction, identity: Identity) -> None:
    """As if it had never joined, when the broker did not take its user: the token may be used again."""
    tx.session.execute(
        update(JoinToken).where(col(JoinToken.hive_id) == identity.hive.id).values(used_at=None, hive_id=None)
    )
    tx.session.execute(delete(Hive).where(col(Hive.id) == identity.hive.id))
    tx.tales.append(LiveHive(identity.hive.id))
