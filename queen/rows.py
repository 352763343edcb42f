"""The tables. Times are seconds since the epoch; JSON columns hold what their comment says."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from shared.states import JobState


def _json(nullable: bool = True) -> Any:
    return Column(JSON(none_as_null=True), nullable=nullable)


class Job(SQLModel, table=True):
    """One piece of work. Written by `queen/jobs.py` alone."""

    __tablename__ = "job"
    __table_args__ = (
        Index("job_by_state", "state", "hive_id"),
        Index("job_by_creation", "created_at", "id"),
        Index("job_by_parent", "parent_id"),
        Index("job_by_claim", "claim_id"),
        Index("job_by_end", "ended", "finished_at"),
    )

    id: str = Field(primary_key=True)
    operation: str
    params: dict[str, Any] = Field(sa_column=_json(nullable=False))
    target: dict[str, Any] = Field(sa_column=_json(nullable=False))
    lane: str
    resource: str
    writes: bool
    principal: str
    parent_id: str | None = None
    is_parent: bool = False

    state: str = JobState.QUEUED
    attempt: int = 1
    losses: int = 0
    hive_id: str | None = None
    """Where the job is placed, or was claimed; None while it waits for a capability."""
    capability: str | None = None
    """The shared queue of a capability job; None for a job of one hive."""
    excluded: dict[str, str] = Field(default_factory=dict, sa_column=_json(nullable=False))
    """Hive id → why it may not have this job again."""

    claim_id: str | None = None
    boot_id: str | None = None
    lease_expires_at: float | None = None
    rung_at: float | None = None
    cancel_requested_at: float | None = None
    pause_requested_at: float | None = None

    plan: dict[str, Any] | None = Field(default=None, sa_column=_json())
    size: int | None = Field(default=None, sa_column=Column(BigInteger))
    """Bytes the job will write, once they are known: what placement reserves."""
    progress: dict[str, Any] | None = Field(default=None, sa_column=_json())
    error: dict[str, Any] | None = Field(default=None, sa_column=_json())
    result: dict[str, Any] | None = Field(default=None, sa_column=_json())
    note: str | None = None
    """The queen's last word about it: why it waits, or why it went back to the queue."""

    last_seq: int = 0
    """Last narrated seq of this attempt that is a row."""
    final_seq: int | None = None
    """Last seq of the attempt, known with its outcome."""
    ended: bool = False
    """Whether `end` of this attempt went out."""

    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    updated_at: float


class Event(SQLModel, table=True):
    """A narrated event, or one of the queen's own (`job`, `end`, without a seq). Id order is commit order."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("job_id", "attempt", "seq"),
        Index("event_by_job", "job_id", "id"),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    job_id: str
    attempt: int
    seq: int | None = None
    kind: str
    at: float
    text: str | None = None
    data: dict[str, Any] | None = Field(default=None, sa_column=_json())


class Counter(SQLModel, table=True):
    __tablename__ = "counter"

    name: str = Field(primary_key=True)
    value: int = Field(sa_column=Column(BigInteger, nullable=False))


class Cursor(SQLModel, table=True):
    """How far the recorder has read a hive's narration stream."""

    __tablename__ = "cursor"

    hive_id: str = Field(primary_key=True)
    stream_id: str = "0-0"


class Hive(SQLModel, table=True):
    """A machine of the fleet, or the queen worker (kind `queen`)."""

    __tablename__ = "hive"

    id: str = Field(primary_key=True)
    name: str
    kind: str = "hive"
    token_hash: str = Field(index=True)
    broker_password_hash: str
    """SHA-256, as the broker's ACL stores it."""
    labels: dict[str, str] = Field(default_factory=dict, sa_column=_json(nullable=False))
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=_json(nullable=False))
    """`shared.protocol.HiveFacts`, its changing numbers refreshed by samples."""
    protocol: int = 0
    boot_id: str | None = None
    last_seen: float | None = None
    joined_at: float
    removed_at: float | None = None


class Artifact(SQLModel, table=True):
    """A model or worker package on one hive; `item` is what the hive tells of it."""

    __tablename__ = "artifact"

    hive_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True, index=True)
    status: str
    item: dict[str, Any] = Field(sa_column=_json(nullable=False))


class IdempotencyKey(SQLModel, table=True):
    __tablename__ = "idempotency_key"

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: str
    job_id: str
    created_at: float = Field(index=True)


class JoinToken(SQLModel, table=True):
    __tablename__ = "join_token"

    id: str = Field(primary_key=True)
    token_hash: str = Field(unique=True)
    created_at: float
    expires_at: float
    used_at: float | None = None
    hive_id: str | None = None


class LoginToken(SQLModel, table=True):
    """A one-time login URL."""

    __tablename__ = "login_token"

    token_hash: str = Field(primary_key=True)
    expires_at: float
    used_at: float | None = None


class Session(SQLModel, table=True):
    """A browser that logged in."""

    __tablename__ = "session"

    token_hash: str = Field(primary_key=True)
    created_at: float
    expires_at: float


class Key(SQLModel, table=True):
    """An API key; `scopes` is a blank-separated subset of admin, operate, inference."""

    __tablename__ = "key"

    id: str = Field(primary_key=True)
    name: str
    token_hash: str = Field(unique=True)
    fingerprint: str
    scopes: str
    created_at: float


class Secret(SQLModel, table=True):
    """An encrypted value, such as `HF_TOKEN`, that travels only inside a claim."""

    __tablename__ = "secret"

    name: str = Field(primary_key=True)
    ciphertext: bytes
    updated_at: float
