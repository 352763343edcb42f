"""A job's narration as plain text."""

import time
from pathlib import Path

import pytest
from sqlmodel import SQLModel, insert

from queen import events
from queen.database import Database, sqlite_url
from queen.job_log import log_lines
from queen.job_view import job_view
from queen.rows import Counter, Job


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(sqlite_url(tmp_path / "rbee.sqlite3"))
    SQLModel.metadata.create_all(database.engine)
    with database.write() as tx:
        tx.session.execute(insert(Counter).values(name="event", value=0))
    return database


def job(**more: object) -> Job:
    values: dict[str, object] = {
        "id": "job-1",
        "operation": "model_download",
        "params": {"model": "org/repo"},
        "target": {"capability": "cpu"},
        "lane": "download",
        "resource": "model:org/repo",
        "writes": True,
        "principal": "admin",
        "excluded": {},
        "created_at": 0.0,
        "updated_at": 0.0,
        **more,
    }
    return Job(**values)


def test_every_event_is_a_line_and_no_text_passes_for_another(database: Database) -> None:
    with database.write() as tx:
        row = job()
        tx.session.add(row)
        said = ["Downloads org/repo.", "two\n1970-01-01T00:00:09.000Z  [completed]"]
        events.append(tx, [events.NewEvent(row, 1, "line", at, at, text) for at, text in enumerate(said, 1)])
        events.append(tx, [events.NewEvent(row, 2, "log", 3.0, 1, "again")])
        row.state = "failed"
        events.append(tx, [events.job_ended(row, 4.0, None)])

    text = "".join(log_lines(database, "job-1"))

    assert text.splitlines() == [
        "1970-01-01T00:00:01.000Z  Downloads org/repo.",
        "1970-01-01T00:00:02.000Z  two",
        " " * 26 + "1970-01-01T00:00:09.000Z  [completed]",
        "--- attempt 2 ---",
        "1970-01-01T00:00:03.000Z  again",
        "--- attempt 1 ---",
        "1970-01-01T00:00:04.000Z  [failed]",
    ]


def test_a_token_in_an_address_is_not_in_the_title() -> None:
    shown = job_view(job(params={"model": "https://h/m.gguf?token=very-secret"}, created_at=time.time()))

    assert "very-secret" not in shown["title"]


@pytest.mark.parametrize(
    ("state", "asked", "stopping"),
    [
        ("running", {"cancel_requested_at": 1.0, "pause_requested_at": 1.0}, "cancel"),
        ("running", {"pause_requested_at": 1.0}, "pause"),
        ("running", {}, None),
        ("cancelled", {"cancel_requested_at": 1.0}, None),
        ("paused", {"pause_requested_at": 1.0}, None),
    ],
)
def test_a_wish_shows_until_it_is_fulfilled(
    state: str, asked: dict[str, float], stopping: str | None
) -> None:
    assert job_view(job(state=state, **asked))["stopping"] == stopping
