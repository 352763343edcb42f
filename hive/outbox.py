"""Outcomes that the queen has not acknowledged yet: fsynced files, delivered until she has taken each."""

import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from hive.queen_client import QueenClient
from shared.errors import RbeeError, Unavailable
from shared.protocol import Grant, OutcomeReport

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Seconds between two tries at a queen that does not answer."""


@dataclass(frozen=True)
class Due:
    """One outcome."""

    job_id: str
    attempt: int
    report: OutcomeReport


class Outbox:
    def __init__(self, folder: Path, queen: QueenClient) -> None:
        self._folder = folder
        self._queen = queen
        self._closing = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)

    def deliver(self, due: Due) -> list[Grant]:
        """Makes the outcome durable, then repeats it until it is acknowledged; returns early when the hive ends.

        Answers with the jobs that were granted in the same breath.
        """
        path = self._keep(due)
        wait = FIRST_WAIT
        while (granted := self._try(due)) is None:
            if self._closing.wait(wait):
                return []
            wait = min(wait * 2, LONGEST_WAIT)
        if path is not None:
            path.unlink(missing_ok=True)
        return granted

    def left_over(self) -> list[Due]:
        """What an earlier process could not deliver, oldest first."""
        return [
            _read(path) for path in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        ]

    def close(self) -> None:
        self._closing.set()

    def _try(self, due: Due) -> list[Grant] | None:
        """None when the queen did not answer."""
        try:
            return self._queen.finish(due.job_id, due.attempt, due.report)
        except Unavailable:
            return None
        except RbeeError as error:
            log.info("action=outcome_refused job=%s code=%s", due.job_id, error.code)
            return []

    def _keep(self, due: Due) -> Path | None:
        """None where the disk takes no more: then the outcome lives as long as this process, which repeats it all the same."""
        try:
            return self._write(due)
        except OSError as error:
            log.warning("action=keep_outcome job=%s error=%s", due.job_id, error.strerror)
            return None

    def _write(self, due: Due) -> Path:
        path = self._folder / f"{due.job_id}.{due.attempt}.json"
        body = {
            "job_id": due.job_id,
            "attempt": due.attempt,
            "report": due.report.model_dump(mode="json", exclude={"next"}),
        }
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path


def _read(path: Path) -> Due:
    body = json.loads(path.read_text())
    return Due(body["job_id"], body["attempt"], OutcomeReport.model_validate(body["report"]))
