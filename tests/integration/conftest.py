"""Databases and a broker for tests of the queen: SQLite and PostgreSQL with the migrated tables, and the real server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from redis import Redis
from sqlalchemy import text
from sqlmodel import SQLModel

import queen
from queen.database import Database, sqlite_url
from queen.settings import QueenSettings
from shared.broker import redis_client
from tests.broker import running_broker
from tests.fleet import Fleet
from tests.postgres import cluster, programs

BACKENDS = ["sqlite", "postgresql"]


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(queen.__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty database; skips, or under CI fails, where PostgreSQL is not installed."""
    binaries = programs()
    if binaries is None:
        reason = "the system package postgresql is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with cluster(binaries) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "rbee.sqlite3"
    command.upgrade(alembic_config(sqlite_url(path)), "head")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    command.upgrade(alembic_config(postgres), "head")
    return postgres


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database with nothing in it, of each kind in turn."""
    if request.param == "postgresql":
        return _emptied(request.getfixturevalue("migrated_postgres"))
    path = tmp_path / "rbee.sqlite3"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return sqlite_url(path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[QueenSettings, str]]:
    """A broker of this session: the settings that find it, and its URL."""
    settings = QueenSettings.load(data_dir=tmp_path_factory.mktemp("broker"))
    with running_broker(settings) as url:
        yield settings, url


@pytest.fixture
def redis(broker: tuple[QueenSettings, str]) -> Iterator[Redis]:
    """A client of the emptied broker."""
    client = redis_client(broker[1], blocking=1.0)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def fleet(database: Database) -> Iterator[Fleet]:
    fleet = Fleet(database)
    yield fleet
    fleet.close()


def _emptied(url: str) -> str:
    database = Database(url)
    tables = ", ".join(
        f'"{table.name}"' for table in SQLModel.metadata.sorted_tables if table.name != "counter"
    )
    with database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables}"))
        connection.execute(text("UPDATE counter SET value = 0"))
    database.close()
    return url
