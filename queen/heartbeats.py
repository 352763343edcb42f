"""Heartbeats: what a hive says every few seconds, and what it is told in return.

One writer a process commits all that wait in one transaction, so that a fleet costs a few commits a second, not one a beat.
"""

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from sqlmodel import col, func, select

from queen import artifacts, dispatch, jobs
from queen.database import Database, Transaction
from queen.rows import Hive, Job
from queen.tales import LiveHive
from shared.errors import Conflict, RbeeError, Unavailable
from shared.operations import Lane
from shared.protocol import AttemptRef, Heartbeat, HeartbeatAnswer, RunningAttempt
from shared.states import JobState
from shared.timing import HEARTBEAT, LEASE, OFFLINE_AFTER

BATCH = 256
ANSWER_WITHIN = 10.0
"""Seconds a beat waits for its commit before the hive is told to try again."""


@dataclass
class _Beat:
    hive_id: str
    heartbeat: Heartbeat
    answer: Future[HeartbeatAnswer] = field(default_factory=Future)


class HeartbeatWriter:
    """Group commit of heartbeats; thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._beats: queue.SimpleQueue[_Beat | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def beat(self, hive_id: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Blocks until the beat is committed. Raises Conflict when the identity is somebody else's by now."""
        self._ensure_thread()
        beat = _Beat(hive_id, heartbeat)
        self._beats.put(beat)
        try:
            return beat.answer.result(timeout=ANSWER_WITHIN)
        except TimeoutError as error:
            raise Unavailable("The queen is busy.") from error

    def close(self) -> None:
        self._beats.put(None)

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (first := self._beats.get()) is not None:
            batch = [first]
            while len(batch) < BATCH and not self._beats.empty():
                following = self._beats.get()
                if following is None:
                    return
                batch.append(following)
            self._commit(batch)

    def _commit(self, batch: list[_Beat]) -> None:
        """In the order of hives, as everybody locks them. A beat that cannot be taken spoils only its own."""
        batch.sort(key=lambda beat: beat.hive_id)
        answers: list[HeartbeatAnswer | RbeeError] = []
        try:
            with self._database.write() as tx:
                waiting = _waiting(tx)
                answers = [_take(tx, beat, waiting) for beat in batch]
        except Exception as error:  # noqa: BLE001 - whatever broke the commit is told to the hive that waits for it
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            for beat in batch if len(batch) > 1 else ():
                self._commit([beat])
            return
        for beat, answer in zip(batch, answers, strict=True):
            if isinstance(answer, RbeeError):
                beat.answer.set_exception(answer)
            else:
                beat.answer.set_result(answer)


def _take(
    tx: Transaction, beat: _Beat, waiting: dict[tuple[str | None, str | None, str], int]
) -> HeartbeatAnswer | RbeeError:
    now = time.time()
    hive = tx.session.get(Hive, beat.hive_id, with_for_update=True)
    if hive is None or hive.removed_at is not None:
        return Conflict("This hive was removed from the fleet.", code="removed")
    heartbeat = beat.heartbeat
    if refused := _boot(tx, hive, heartbeat, now):
        return refused
    came_online = hive.last_seen is None or now - hive.last_seen >= OFFLINE_AFTER
    hive.protocol, hive.last_seen = heartbeat.protocol, now
    changed = _inventory(tx, hive, heartbeat)
    if changed or came_online:
        tx.tales.append(LiveHive(hive.id))
    answer = _renew(tx, hive, heartbeat, now)
    answer.work = _work(hive, waiting)
    answer.facts_wanted = not hive.facts
    return answer


def _boot(tx: Transaction, hive: Hive, heartbeat: Heartbeat, now: float) -> Conflict | None:
    """Takes over at a new boot, and refuses a second process with the same identity."""
    if hive.boot_id == heartbeat.boot_id:
        return None
    alive = hive.last_seen is not None and now - hive.last_seen < 2 * HEARTBEAT
    successor = hive.boot_id is None or (heartbeat.first and heartbeat.previous_boot_id == hive.boot_id)
    if not (successor or (heartbeat.first and not alive)):
        return Conflict("Another process uses this hive's identity.", code="identity_in_use")
    hive.boot_id = heartbeat.boot_id
    running = [job.id for job in _running(tx, hive) if job.boot_id != heartbeat.boot_id]
    for lost in jobs.get_all(tx, running):
        if lost.state == JobState.RUNNING:
            jobs.lose(tx, lost, f"{hive.name} started again while it worked on it.", now)
            dispatch.send(tx, lost, now)
    return None


def _inventory(tx: Transaction, hive: Hive, heartbeat: Heartbeat) -> bool:
    """Takes over what the beat brought; True when pages should look again."""
    if heartbeat.artifacts is not None:
        artifacts.replace(tx, hive.id, heartbeat.artifacts)
    for item in heartbeat.changes:
        artifacts.take(tx, hive.id, item)
    if heartbeat.facts is not None:
        hive.facts = heartbeat.facts.model_dump(mode="json")
    elif heartbeat.sample is not None and hive.facts:
        sample = heartbeat.sample
        devices = [
            {**device, "memory_free": sample.devices.get(str(device.get("id")), device.get("memory_free"))}
            for device in hive.facts.get("devices", [])
        ]
        hive.facts = {
            **hive.facts,
            "memory_available": sample.memory_available,
            "disk_free": sample.disk_free,
            "devices": devices,
        }
    return heartbeat.artifacts is not None or bool(heartbeat.changes) or heartbeat.facts is not None


def _renew(tx: Transaction, hive: Hive, heartbeat: Heartbeat, now: float) -> HeartbeatAnswer:
    """Renews the leases of what still is this hive's, and says what is not."""
    answer = HeartbeatAnswer()
    running = {job.id: job for job in _running(tx, hive)}
    untold = _untold(tx, [attempt for attempt in heartbeat.attempts if attempt.job_id not in running])
    for attempt in heartbeat.attempts:
        job = running.get(attempt.job_id)
        ref = AttemptRef(job_id=attempt.job_id, attempt=attempt.attempt)
        if job is None or job.attempt != attempt.attempt or job.claim_id != attempt.claim_id:
            last_seq = untold.get((attempt.job_id, attempt.attempt, attempt.claim_id))
            if last_seq is None:
                answer.lost.append(ref)
            else:
                answer.recorded[attempt.job_id] = last_seq
            continue
        job.lease_expires_at = now + LEASE
        answer.recorded[job.id] = job.last_seq
        if job.cancel_requested_at is not None:
            answer.cancel.append(ref)
        elif job.pause_requested_at is not None:
            answer.pause.append(ref)
    return answer


def _untold(tx: Transaction, attempts: list[RunningAttempt]) -> dict[tuple[str, int, str | None], int]:
    """Of attempts that run no more, those whose narration is still taken, and its last recorded seq."""
    if not attempts:
        return {}
    query = select(Job.id, Job.attempt, Job.claim_id, Job.last_seq).where(
        col(Job.id).in_([attempt.job_id for attempt in attempts]),
        Job.state != JobState.QUEUED,
        col(Job.ended).is_(False),
    )
    return {(job_id, attempt, claim_id): seq for job_id, attempt, claim_id, seq in tx.session.exec(query)}


def _running(tx: Transaction, hive: Hive) -> list[Job]:
    return list(tx.session.exec(select(Job).where(Job.hive_id == hive.id, Job.state == JobState.RUNNING)))


def _waiting(tx: Transaction) -> dict[tuple[str | None, str | None, str], int]:
    """How many queued jobs wait, by (hive, capability, lane)."""
    counted = tx.session.exec(
        select(Job.hive_id, Job.capability, Job.lane, func.count())
        .where(Job.state == JobState.QUEUED, col(Job.is_parent).is_(False))
        .group_by(col(Job.hive_id), col(Job.capability), col(Job.lane))
    )
    return {(hive_id, capability, lane): count for hive_id, capability, lane, count in counted}


def _work(hive: Hive, waiting: dict[tuple[str | None, str | None, str], int]) -> dict[Lane, int]:
    capabilities = hive.facts.get("capabilities", [])
    work: dict[Lane, int] = {}
    for (hive_id, capability, lane), count in waiting.items():
        if hive_id == hive.id or (hive_id is None and capability in capabilities):
            work[Lane(lane)] = work.get(Lane(lane), 0) + count
    return work
