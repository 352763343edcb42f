"""Runs attempts: claims them, hands them to their domain function, narrates, reports the outcome.

A ring (a Celery message) or the heartbeat's word that work waits leads here; the claim decides. Every attempt is
known to `attempts`, so that the heartbeat renews its lease and a cancel finds it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hive.failure import explained, last_line
from hive.lanes import Lanes
from hive.narrator import Narration, Narrator
from hive.operations import Narrated
from hive.outbox import Due, Outbox
from hive.queen_client import QueenClient
from hive.release import ReleaseJob
from hive.stop import Reason, Stop, Stopped
from hive.workshop import Performs
from shared.errors import RbeeError, Unavailable
from shared.ids import new_claim_id
from shared.narration import Line
from shared.operations import OPERATIONS, Lane
from shared.protocol import MAX_ATTEMPTS, ClaimRequest, Grant, OutcomeReport, RunningAttempt
from shared.redaction import Redactor
from shared.states import Outcome

log = logging.getLogger(__name__)


UNTOLD = 64
"""Attempts held, above which the queen is asked at once what she has recorded."""
CLAIM_WITHIN = 20.0
"""Seconds a claim is repeated; shorter than a lease."""

_STOPPED = {
    Reason.CANCEL: (
        Outcome.CANCELLED,
        "Stops as asked: the job is cancelled. A retry goes on from what lies on disk.",
    ),
    Reason.PAUSE: (Outcome.PAUSED, "Stops as asked: the job is paused. Resume it and it goes on from here."),
    Reason.SHUTDOWN: (
        Outcome.RELEASED,
        "This hive shuts down and hands the job back; the next attempt goes on from here.",
    ),
}


@dataclass
class Attempt:
    """One claimed attempt, until the queen has its outcome and all its lines."""

    grant: Grant
    narration: Narration
    stop: Stop = field(default_factory=Stop)
    running: bool = True


class Runner:
    def __init__(
        self,
        queen: QueenClient,
        narrator: Narrator,
        outbox: Outbox,
        workshop: Performs,
        *,
        boot_id: str,
        lanes: Lanes,
    ) -> None:
        self._queen = queen
        self._narrator = narrator
        self._outbox = outbox
        self._workshop = workshop
        self._boot_id = boot_id
        self._lanes = lanes
        self._lock = threading.Lock()
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._threads: set[threading.Thread] = set()
        self.on_backlog: Callable[[], None] = lambda: None
        """Called when many ended attempts wait to hear that their last lines are recorded."""
        self._looking = threading.Lock()
        self._ending = threading.Event()

    def ring(self, operation: str, job_id: str, attempt: int) -> None:
        """Claims one job by name and works on it in this thread; silently nothing when its lane is full or it is gone."""
        lane = OPERATIONS[operation].lane
        if self._ending.is_set() or not self._lanes.take(lane):
            return
        request = ClaimRequest(claim_id=new_claim_id(), boot_id=self._boot_id, job_id=job_id, attempt=attempt)
        grants = self._claim(request)
        if not grants:
            self._lanes.give_back(lane)
            return
        self._work_through(lane, grants[0])

    def look_for_work(self, waiting: dict[Lane, int]) -> None:
        """Asks, in a thread of its own, for as many jobs as wait and have room; one such thread at a time."""
        if self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, args=(waiting,), name="look", daemon=True).start()

    def attempts(self) -> list[RunningAttempt]:
        """What the heartbeat says we hold: what runs, then the oldest of what is to be told to its end."""
        with self._lock:
            held = sorted(self._attempts.values(), key=lambda one: not one.running)[:MAX_ATTEMPTS]
        return [
            RunningAttempt(
                job_id=one.grant.job_id,
                attempt=one.grant.attempt,
                claim_id=one.grant.claim_id,
                seq=one.narration.seq,
            )
            for one in held
        ]

    def stop(self, job_id: str, attempt: int, reason: Reason) -> None:
        with self._lock:
            held = self._attempts.get((job_id, attempt))
        if held is not None:
            held.stop.set(reason)
            if reason is Reason.LOST and not held.running:
                self._forget(held)

    def recorded(self, job_id: str, seq: int) -> None:
        """The queen has the lines of a job up to `seq`."""
        with self._lock:
            held = [one for one in self._attempts.values() if one.grant.job_id == job_id]
        for one in held:
            one.narration.take_recorded(seq)
            if not one.running and seq >= one.narration.seq:
                self._forget(one)

    def end(self, within: float) -> None:
        """Checkpoints and hands back what runs; returns when all is reported, or after `within` seconds."""
        self._ending.set()
        with self._lock:
            held = list(self._attempts.values())
            threads = list(self._threads)
        for one in held:
            one.stop.set(Reason.SHUTDOWN)
        deadline = time.monotonic() + within
        for thread in threads:
            thread.join(timeout=max(deadline - time.monotonic(), 0.0))
        self._outbox.close()

    def _look(self, waiting: dict[Lane, int]) -> None:
        try:
            for lane, count in waiting.items():
                self._start(lane, self._pull(lane, count))
        finally:
            self._looking.release()

    def _pull(self, lane: Lane, count: int) -> list[Grant]:
        """Takes places, asks for that many jobs, and gives back the places that got none."""
        taken = 0 if self._ending.is_set() else self._lanes.take(lane, count)
        if not taken:
            return []
        request = ClaimRequest(claim_id=new_claim_id(), boot_id=self._boot_id, lanes={lane: taken})
        grants = self._claim(request)
        self._lanes.give_back(lane, taken - len(grants))
        return grants

    def _start(self, lane: Lane, grants: list[Grant]) -> None:
        for grant in grants:
            name = f"job-{grant.job_id[-8:]}"
            threading.Thread(target=self._work_through, args=(lane, grant), name=name, daemon=True).start()

    def _claim(self, request: ClaimRequest) -> list[Grant]:
        """Asks again, with the same claim id, when an answer is lost: the job may be ours without our knowing."""
        end = time.monotonic() + CLAIM_WITHIN
        wait = 0.1
        while True:
            try:
                return self._queen.claim(request)
            except Unavailable as error:
                log.warning("action=claim error=%s", error.message)
            except RbeeError as error:
                log.debug("action=claim refused=%s", error.code)
                return []
            if time.monotonic() > end or self._ending.wait(wait):
                return []
            wait = min(2 * wait, 2.0)

    def _work_through(self, lane: Lane, grant: Grant) -> None:
        """Works on one job, then on what waits in the same lane, until nothing does; holds one place meanwhile."""
        with self._lock:
            self._threads.add(threading.current_thread())
        try:
            following: list[Grant] = [grant]
            while following:
                following = self._work(following[0], self._next(lane))
        finally:
            self._lanes.give_back(lane)
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self, lane: Lane) -> ClaimRequest:
        return ClaimRequest(claim_id=new_claim_id(), boot_id=self._boot_id, lanes={lane: 1})

    def _work(self, grant: Grant, following: ClaimRequest) -> list[Grant]:
        """Works on one job, reports it, and answers with what may follow in its place."""
        narration = self._narrator.open(grant.job_id, grant.attempt, Redactor(grant.secrets.values()))
        attempt = Attempt(grant, narration)
        with self._lock:
            self._attempts[grant.job_id, grant.attempt] = attempt
        try:
            return self._work_on(attempt, following)
        finally:
            if (
                attempt.running
            ):  # lost to somebody else, or a fault nobody foresaw: its lease must not be renewed for ever
                self._forget(attempt)

    def _work_on(self, attempt: Attempt, following: ClaimRequest) -> list[Grant]:
        if self._ending.is_set():
            attempt.stop.set(Reason.SHUTDOWN)
        grant, narration = attempt.grant, attempt.narration
        report = self._carry_out(attempt)
        if report is None:
            self._forget(attempt)
            return self._claim(following)
        narration.flush()
        narration.spool.sync()
        report.next = None if self._ending.is_set() else following
        granted = self._outbox.deliver(Due(grant.job_id, grant.attempt, report))
        narration.spool.close()
        attempt.running = False
        if len(self._attempts) > UNTOLD:
            self.on_backlog()
        return granted

    def _carry_out(self, attempt: Attempt) -> OutcomeReport | None:
        """The domain function, driven to its end; None when the attempt was lost to somebody else."""
        grant, narration = attempt.grant, attempt.narration
        try:
            result = self._drive(self._workshop.perform(grant, attempt.stop), narration)
            return self._report(attempt, Outcome.COMPLETED, result=result)
        except Stopped as stopped:
            if stopped.reason is Reason.LOST:
                return None
            outcome, line = _STOPPED[stopped.reason]
            narration.say(Line(line))
            return self._report(attempt, outcome)
        except ReleaseJob as release:
            narration.say(Line(release.message))
            return self._report(attempt, Outcome.RELEASED, error=release.as_dict(), exclude=True)
        except RbeeError as error:
            narration.say(Line(last_line(error)))
            return self._report(attempt, Outcome.FAILED, error=error.as_dict())
        except Exception as error:
            log.exception("action=work job=%s", grant.job_id)
            failure = explained(error)
            narration.say(Line(last_line(failure)))
            return self._report(attempt, Outcome.FAILED, error=failure.as_dict())

    @staticmethod
    def _drive(work: Narrated, narration: Narration) -> dict:  # type: ignore[type-arg]
        while True:
            try:
                narration.say(next(work))
            except StopIteration as done:
                return done.value or {}

    def _report(
        self,
        attempt: Attempt,
        outcome: Outcome,
        *,
        result: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        exclude: bool = False,
    ) -> OutcomeReport:
        """Masked like the narration: nothing that leaves the hive holds a secret."""
        masked = attempt.narration.redactor.deep
        return OutcomeReport.model_validate(
            {
                "claim_id": attempt.grant.claim_id,
                "outcome": outcome,
                "result": masked(result),
                "error": masked(error),
                "last_seq": attempt.narration.seq,
                "artifact": self._workshop.artifact(attempt.grant),
                "exclude": exclude,
            }
        )

    def _forget(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.pop((attempt.grant.job_id, attempt.grant.attempt), None)
        attempt.narration.spool.remove()
