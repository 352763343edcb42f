"""The narration of a job as plain text, a line an event."""

from collections.abc import Iterator

from queen import events
from queen.database import Database
from queen.job_view import iso

READ = 1000
NEWLINE, CONTINUED = "\n", "\n" + " " * 26
"""A text of several lines stays under its time: no line of it can pass for another event."""


def log_lines(database: Database, job_id: str) -> Iterator[str]:
    """Lines such as `2026-01-02T03:04:05.678Z  Downloads …`; attempts are parted, the queen's notes are in brackets."""
    last_id, attempt = 0, 1
    while True:
        with database.read() as session:
            rows = events.after(session, last_id, jobs=[job_id], hive_id=None, limit=READ)
        for row in rows:
            last_id = row["id"]
            if row["attempt"] != attempt:
                attempt = row["attempt"]
                yield f"--- attempt {attempt} ---\n"
            if text := _text(row):
                yield f"{iso(row['at'])}  {text.replace(NEWLINE, CONTINUED)}\n"
        if len(rows) < READ:
            return


def _text(row: dict) -> str | None:  # type: ignore[type-arg]
    if row["kind"] == events.JOB:
        return f"[{row['text']}]" if row["text"] else None
    if row["kind"] == events.END:
        ending = f"[{row['data']['state']}]"
        return f"{ending} {row['text']}" if row["text"] else ending
    return row["text"] if row["kind"] != "data" else None
