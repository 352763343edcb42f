"""What follows a fault: another try after a pause, fewer connections, a new start, or the end of the job."""

import time
from collections.abc import Callable

from hive.download.faults import (
    Busy,
    Changed,
    Denied,
    Fault,
    denied,
    host_of,
    keeps_changing,
    unreachable,
)
from hive.download.incoming import IncomingFile, Stage
from hive.download.patience import backoff, seconds_in_words
from hive.download.schedule import Schedule
from hive.download.segment import Segment
from shared.errors import JobFailed

_BUSY_PER_RETRY = 5
"""A host that names its pauses is asked this many times as often as one that only breaks."""
_LINKS = 2
"""How often an expired link is resolved anew without a new byte."""
_REFUSALS = 3
"""How often a host that has given bytes before is asked again when it refuses: it may still count a connection just closed."""
_VERSIONS = 3


class Recovery:
    """Decides under the schedule's lock. `retries` counts incidents in a row that bring no new byte."""

    def __init__(
        self, schedule: Schedule, retries: int, first_delay: float, say: Callable[[str], None]
    ) -> None:
        self._schedule = schedule
        self._retries = retries
        self._first_delay = first_delay
        self._say = say

    def after(self, segment: Segment, fault: Fault) -> float:
        """Seconds for which this one connection rests; raises JobFailed when nothing is left to try."""
        with self._schedule.lock:
            if segment.file.stage is Stage.RESTARTING or segment.left <= 0:
                return 0.0
            match fault:
                case Busy():
                    return self._busy(segment, fault)
                case Denied():
                    return self._denied(segment, fault)
                case Changed():
                    return self._changed(segment.file, fault)
            return self._interrupted(segment, fault)

    def _interrupted(self, segment: Segment, fault: Fault) -> float:
        file, trouble = segment.file, segment.file.trouble
        if not trouble.is_new(segment.since):
            return 0.0
        if trouble.failures >= self._retries:
            raise unreachable(file.path, fault.reason, trouble.failures + 1)
        delay = backoff(trouble.failures + 1, self._first_delay)
        others = len(file.active) > 1 and trouble.failures == 0
        trouble.add(delay, blocks=not others)
        count = f"retry {trouble.failures} of {self._retries}"
        self._say(f"{file.path}: {fault.reason}; {count} in {seconds_in_words(delay)}.")
        return delay if others else 0.0

    def _busy(self, segment: Segment, fault: Busy) -> float:
        schedule, trouble = self._schedule, segment.file.trouble
        if segment.since < schedule.limited_at:
            return 0.0
        trouble.busy += 1
        if trouble.busy > (self._retries + 1) * _BUSY_PER_RETRY:
            raise JobFailed(
                f"{segment.file.path} cannot be fetched: {fault.reason}, {trouble.busy} times in a row.",
                code="too_many_requests",
                hint="The host limits how much is fetched; retry later, or store a token for a higher limit.",
            )
        delay = fault.seconds if fault.seconds is not None else backoff(trouble.busy, self._first_delay)
        fewer = schedule.others_active(segment) and schedule.limit > 1
        self._limit(max(1, schedule.limit // 2) if fewer else schedule.limit)
        schedule.not_before = schedule.limited_at + delay
        words = f"; goes on with {_connections(schedule.limit)}" if fewer else ""
        pause = f"waits {seconds_in_words(delay)} before the next try"
        self._say(f"{segment.file.path}: {fault.reason}, {pause}{words}.")
        return 0.0

    def _denied(self, segment: Segment, fault: Denied) -> float:
        file, schedule = segment.file, self._schedule
        if segment.since < max(schedule.limited_at, file.trouble.relinked_at):
            return 0.0
        expired = file.redirected and fault.host == host_of(file.target.url if file.target else "")
        if expired and file.trouble.asked_again < _LINKS:
            file.trouble.asked_again += 1
            file.trouble.relinked_at = time.monotonic()
            file.target, file.redirected = None, False
            self._say(f"{file.path}: the link to {fault.host} has expired, asks for a new one.")
            return 0.0
        alone = not (schedule.any_success or schedule.others_active(segment))
        if fault.status in {401, 403} and schedule.limit > 1 and not alone:
            self._limit(1)
            if schedule.any_success:
                self._say(f"{file.path}: {fault.reason} to parallel requests, goes on with one connection.")
            return 0.0
        if fault.status == 403 and schedule.any_success and file.trouble.refused < _REFUSALS:
            file.trouble.refused += 1
            return backoff(file.trouble.refused, self._first_delay)
        raise denied(file.path, fault)

    def _changed(self, file: IncomingFile, fault: Fault) -> float:
        file.trouble.restarts += 1
        if file.trouble.restarts > _VERSIONS:
            raise keeps_changing(file.path, fault.reason)
        self._say(f"{file.path}: {fault.reason}; starts again from the beginning.")
        self._schedule.restart(file)
        return 0.0

    def _limit(self, limit: int) -> None:
        self._schedule.limit = limit
        self._schedule.limited_at = time.monotonic()


def _connections(count: int) -> str:
    return "one connection" if count == 1 else f"{count} connections"
