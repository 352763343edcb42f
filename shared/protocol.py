"""What a hive and the queen say to each other over HTTP. Unknown fields are ignored, so that versions may differ by one."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from shared.operations import Lane
from shared.plan import Plan
from shared.states import Outcome

MAX_ATTEMPTS = 1024
"""Attempts of one heartbeat: those that run, and ended ones whose last lines are not known to be recorded."""

MAX_CHANGES = 256
"""Changed inventory items of one heartbeat; more of them are told as the whole inventory."""

ClaimId = Field(pattern=r"^claim-[0-9a-f]{24}$")
BootId = Field(pattern=r"^boot-[0-9a-f]{16}$")
Bytes = Annotated[int, Field(ge=0, lt=1 << 62)]
Count = Annotated[int, Field(ge=0, lt=1 << 31)]


class HiveFacts(BaseModel):
    """What a hive is. Bytes for memory and disk; devices are `{id, kind, name, memory_total, memory_free, …}`."""

    platform: str = Field(max_length=32)
    arch: str = Field(max_length=32)
    hostname: str = Field(default="", max_length=255)
    capabilities: list[Literal["cuda", "metal", "cpu"]]
    devices: list[dict[str, Any]] = Field(max_length=64)
    cpu_count: int = Field(default=1, ge=1)
    memory_total: Bytes
    memory_available: Bytes
    disk_total: Bytes
    disk_free: Bytes
    operations: list[str] = Field(default_factory=list, max_length=64)
    lanes: dict[Lane, int] = Field(default_factory=dict)
    version: str = Field(default="", max_length=64)


class HiveSample(BaseModel):
    """What changes between two heartbeats; `devices` maps a device id to its free bytes."""

    memory_available: Bytes
    disk_free: Bytes
    devices: dict[str, Bytes] = Field(default_factory=dict)


class JoinRequest(BaseModel):
    token: str = Field(max_length=512)
    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w][\w .-]*$")
    protocol: Count
    facts: HiveFacts


class JoinAnswer(BaseModel):
    """A hive's identity. `broker_url` holds its own broker user and password."""

    id: str
    name: str
    kind: Literal["hive", "queen"]
    token: str
    broker_url: str


class ClaimRequest(BaseModel):
    """Either one job by name, or the free places of the hive's lanes."""

    claim_id: str = ClaimId
    boot_id: str = BootId
    job_id: str | None = None
    attempt: int | None = None
    lanes: dict[Lane, Count] | None = None


class Grant(BaseModel):
    """One claimed attempt, with all that it needs. `secrets` maps setting names to values."""

    job_id: str
    attempt: int
    claim_id: str
    operation: str
    params: dict[str, Any]
    plan: dict[str, Any] | None = None
    lease: float
    secrets: dict[str, str] = Field(default_factory=dict)


class RunningAttempt(BaseModel):
    """`seq` is the last one the hive has spoken."""

    job_id: str
    attempt: int
    claim_id: str
    seq: int = 0


class Heartbeat(BaseModel):
    """`previous_boot_id` is set on the first beat of a boot, and only there."""

    protocol: Count
    boot_id: str = BootId
    previous_boot_id: str | None = None
    attempts: list[RunningAttempt] = Field(default_factory=list, max_length=MAX_ATTEMPTS)
    facts: HiveFacts | None = None
    sample: HiveSample | None = None
    artifacts: list[dict[str, Any]] | None = None
    """The whole inventory: on the first beat, and when very much of it changed."""
    changes: list[dict[str, Any]] = Field(default_factory=list, max_length=MAX_CHANGES)
    """Items that changed since the last beat; what is gone has the status `gone`."""
    first: bool = False


class AttemptRef(BaseModel):
    job_id: str
    attempt: int


class HeartbeatAnswer(BaseModel):
    """`recorded` maps a job to the last narrated seq that is a row; `work` says how many jobs wait, by lane."""

    cancel: list[AttemptRef] = Field(default_factory=list)
    pause: list[AttemptRef] = Field(default_factory=list)
    lost: list[AttemptRef] = Field(default_factory=list)
    recorded: dict[str, int] = Field(default_factory=dict)
    work: dict[Lane, int] = Field(default_factory=dict)
    facts_wanted: bool = False


class PlanReport(BaseModel):
    claim_id: str = ClaimId
    plan: Plan
    size: Bytes | None = None
    """Bytes still to be written on this hive; None when the vendor does not say."""


class OutcomeReport(BaseModel):
    claim_id: str = ClaimId
    outcome: Outcome
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    last_seq: Count
    artifact: dict[str, Any] | None = None
    """What the job's artifact is now on this hive: its inventory item, or `{kind, id, status: "gone"}`."""
    next: ClaimRequest | None = None
    """Asks in the same breath for a job in the place that becomes free."""
    exclude: bool = False
    """With `released`: this hive cannot do the job; do not place it here again."""
