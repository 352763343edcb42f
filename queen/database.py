"""The database: SQLite by default, PostgreSQL by URL. Short transactions, and what they tell after COMMIT."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlmodel import Session, create_engine

if TYPE_CHECKING:
    from queen.events import NewEvent

BUSY_TIMEOUT = 20.0
"""Seconds that a SQLite writer waits for another process's transaction."""

Tell = Callable[[list["Tale"]], None]


class Tale:
    """Something to say once the rows are visible; see `queen/telling.py` for the kinds."""


class Transaction:
    """One write transaction: its session, what is done last before COMMIT, and what is told after it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[NewEvent] = []
        self.closing: list[Callable[[], None]] = []
        self.tales: list[Tale] = []


class Database:
    """Hands out sessions. `tell` receives a committed transaction's tales, in order, and must not block."""

    def __init__(self, url: str, tell: Tell | None = None) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _engine(url, self.is_sqlite)
        self.tell: Tell = tell or (lambda tales: None)
        self._writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view, for reading only."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Commits at the end of the block, rolls back when it raises; then tells. No network, no sleep inside.

        SQLite has one writer: threads of this process queue on a lock, fairly, instead of on its sleeping busy handler.
        """
        if self.is_sqlite:
            with self._writer:
                transaction = self._run_begin()
                yield from self._finish(transaction)
        else:
            transaction = self._run_begin()
            yield from self._finish(transaction)
        if transaction.tales:
            self.tell(transaction.tales)

    def _run_begin(self) -> Transaction:
        session = Session(self.engine, expire_on_commit=False, autoflush=False)
        session.connection(execution_options={"rbee_write": True})
        return Transaction(session)

    @staticmethod
    def _finish(transaction: Transaction) -> Iterator[Transaction]:
        session = transaction.session
        try:
            yield transaction
            for close in transaction.closing:
                close()
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            session.close()

    def close(self) -> None:
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def _engine(url: str, is_sqlite: bool) -> Engine:
    if not is_sqlite:
        return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)
    engine = create_engine(
        url, pool_size=16, max_overflow=48, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False}
    )
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _sqlite_begin(connection: Any) -> None:
    write = connection.get_execution_options().get("rbee_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
