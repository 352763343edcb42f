"""What an earlier life of this hive still owes the queen: outcomes that were never acknowledged, and their narration."""

import contextlib
from pathlib import Path

from hive.narrator import Narrator
from hive.outbox import Outbox
from shared.redaction import Redactor


def deliver_left_over(outbox: Outbox, narrator: Narrator) -> None:
    """Sends them before the first heartbeat, which would declare their attempts lost; then forgets old narrations."""
    kept = set()
    for due in outbox.left_over():
        narration = narrator.open(due.job_id, due.attempt, Redactor(), seq=due.report.last_seq)
        kept.add(narration.spool.path)
        narration.send_again(0)
        outbox.deliver(due)
    _forget(narrator.folder, kept)


def _forget(folder: Path, kept: set[Path]) -> None:
    for path in folder.glob("*.jsonl"):
        if path not in kept:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
