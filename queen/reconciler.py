"""The reconciler: every few seconds it mends what messages and machines lost. The database is the authority; this makes it true.

It rings again for jobs nobody claimed, undoes a placement on a hive that went offline, takes expired leases as losses, sends an
`end` that waited too long for its last line, and forgets what is older than the settings keep.
"""

import logging
import time

from sqlalchemy import delete, update
from sqlmodel import col, func, or_, select

from queen import dispatch, events, hives, jobs, joining
from queen.database import Database, Transaction
from queen.rows import Event, Hive, IdempotencyKey, Job, JoinToken, LoginToken
from queen.rows import Session as BrowserSession
from queen.tales import LiveHive
from shared.states import FINAL, JobState
from shared.timing import END_WITHOUT_NARRATION, IDEMPOTENCY, LEASE, OFFLINE_AFTER, RECONCILE, RING_AGAIN

log = logging.getLogger(__name__)

RETENTION_EVERY = 3600.0
BATCH = 500
RING_BATCH = 50
"""Jobs placed in one transaction, so that nobody waits long for it."""


class Reconciler:
    """Call `tick` every `RECONCILE` seconds, from one process."""

    def __init__(self, database: Database, *, retention_days: float, retention_jobs: int) -> None:
        self._database = database
        self._retention_days = retention_days
        self._retention_jobs = retention_jobs
        self._ticked_at: float | None = None
        self._swept_at = 0.0
        self._online: set[str] = set()

    def tick(self) -> None:
        now = time.time()
        if self._ticked_at is None or now - self._ticked_at > 2 * RECONCILE + 2:
            self._grant_another_term(now)
        self._ticked_at = now
        for mend in (
            self._leave_removed_hives,
            self._expire_leases,
            self._ring_again,
            self._send_late_ends,
            self._tell_who_left,
            self._forget_by_the_hour,
        ):
            try:
                mend(now)
            except Exception:
                log.exception("action=reconcile step=%s", mend.__name__.lstrip("_"))

    def _forget_by_the_hour(self, now: float) -> None:
        if now - self._swept_at > RETENTION_EVERY:
            self._swept_at = now
            self._forget(now)

    def _grant_another_term(self, now: float) -> None:
        """After our own start or a gap in our loop: the queen's outage expires nothing."""
        with self._database.write() as tx:
            tx.session.execute(
                update(Job)
                .where(col(Job.state) == JobState.RUNNING, col(Job.is_parent).is_(False))
                .where(or_(col(Job.lease_expires_at).is_(None), col(Job.lease_expires_at) < now + LEASE))
                .values(lease_expires_at=now + LEASE)
                .execution_options(synchronize_session=False)
            )

    def _leave_removed_hives(self, now: float) -> None:
        """What came to a hive in the moment it was removed."""
        left_behind = (
            select(Job.id)
            .join(Hive, col(Hive.id) == col(Job.hive_id))
            .where(col(Hive.removed_at).is_not(None), col(Job.state).not_in(FINAL))
        )
        with self._database.read() as session:
            job_ids = session.exec(left_behind.limit(BATCH)).all()
        for job_id in job_ids:
            with self._database.write() as tx:
                job = jobs.get(tx, job_id)
                hive = tx.session.get(Hive, job.hive_id) if job.hive_id else None
                if hive is not None and hive.removed_at is not None:
                    joining.leave(tx, job, hive, now)

    def _expire_leases(self, now: float) -> None:
        """An expired lease is a loss, unless nobody at all was heard: then it is the queen who was away."""
        with self._database.read() as session:
            heard = session.exec(select(func.max(Hive.last_seen)).where(col(Hive.removed_at).is_(None))).one()
            expired = session.exec(
                select(Job.id)
                .where(Job.state == JobState.RUNNING, col(Job.lease_expires_at) < now)
                .limit(BATCH)
            ).all()
        if expired and (heard is None or now - heard >= OFFLINE_AFTER):
            self._grant_another_term(now)
            return
        for job_id in expired:
            with self._database.write() as tx:
                job = jobs.get(tx, job_id)
                if (
                    job.state == JobState.RUNNING
                    and job.lease_expires_at is not None
                    and job.lease_expires_at < now
                ):
                    hive = tx.session.get(Hive, job.hive_id)
                    name = hive.name if hive else "the hive"
                    jobs.lose(tx, job, f"{name} was not heard for {LEASE:.0f} s.", now)
                    dispatch.send(tx, job, now)

    def _ring_again(self, now: float) -> None:
        """Places anew and rings for what is queued and unclaimed; a job of an offline hive waits for its heartbeat."""
        due = (
            select(Job.id)
            .where(Job.state == JobState.QUEUED, col(Job.is_parent).is_(False))
            .where(
                or_(
                    col(Job.rung_at).is_(None),
                    col(Job.rung_at) < now - RING_AGAIN,
                    _placed_on_the_absent(now),
                )
            )
        )
        with self._database.read() as session:
            job_ids = session.exec(due.order_by(col(Job.created_at)).limit(BATCH)).all()
        for first in range(0, len(job_ids), RING_BATCH):
            some = select(Job).where(col(Job.id).in_(job_ids[first : first + RING_BATCH])).order_by(Job.id)
            with self._database.write() as tx:
                for job in tx.session.exec(some.with_for_update(skip_locked=True)).all():
                    before = job.hive_id, job.note
                    dispatch.send(tx, job, now)
                    if (job.hive_id, job.note) != before:
                        events.append(tx, [events.job_changed(job, now)])

    def _send_late_ends(self, now: float) -> None:
        with self._database.read() as session:
            late = session.exec(
                select(Job.id)
                .where(col(Job.state).in_(FINAL), col(Job.ended).is_(False))
                .where(col(Job.finished_at) < now - END_WITHOUT_NARRATION)
                .limit(BATCH)
            ).all()
        for job_id in late:
            with self._database.write() as tx:
                job = jobs.get(tx, job_id)
                gap = None if job.is_parent else _gap((job.final_seq or 0) - job.last_seq)
                jobs.end_if_told(tx, job, now, gap=gap)

    def _tell_who_left(self, now: float) -> None:
        with self._database.read() as session:
            online = {hive.id for hive in hives.members(session) if hives.is_online(hive, now)}
        if gone := self._online - online:
            self._database.tell([LiveHive(hive_id) for hive_id in gone])
        self._online = online

    def _forget(self, now: float) -> None:
        """Retention: by age, and by number of ended jobs."""
        with self._database.write() as tx:
            tx.session.execute(
                delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < now - IDEMPOTENCY)
            )
            tx.session.execute(delete(LoginToken).where(col(LoginToken.expires_at) < now))
            tx.session.execute(delete(JoinToken).where(col(JoinToken.expires_at) < now - 86400))
            tx.session.execute(delete(BrowserSession).where(col(BrowserSession.expires_at) < now))
        while self._forget_some(now):
            pass

    def _forget_some(self, now: float) -> bool:
        with self._database.write() as tx:
            ended = select(Job.id).where(col(Job.state).in_(FINAL), col(Job.ended).is_(True))
            old = ended.where(col(Job.finished_at) < now - self._retention_days * 86400)
            surplus = ended.order_by(col(Job.finished_at).desc()).offset(self._retention_jobs)
            job_ids = set(tx.session.exec(old.limit(BATCH))) | set(tx.session.exec(surplus.limit(BATCH)))
            _delete(tx, list(job_ids))
            return len(job_ids) >= BATCH


def _gap(missing: int) -> str:
    if missing == 1:
        return "The last line of the narration is missing."
    return f"The last {missing} lines of the narration are missing."


def _delete(tx: Transaction, job_ids: list[str]) -> None:
    tx.session.execute(delete(Event).where(col(Event.job_id).in_(job_ids)))
    tx.session.execute(delete(Job).where(col(Job.id).in_(job_ids)))


def _placed_on_the_absent(now: float):  # type: ignore[no-untyped-def]
    absent = select(Hive.id).where(
        or_(
            col(Hive.last_seen).is_(None),
            col(Hive.last_seen) < now - OFFLINE_AFTER,
            col(Hive.removed_at).is_not(None),
        )
    )
    return col(Job.capability).is_not(None) & col(Job.hive_id).in_(absent)
