"""The migrations make the tables that the code knows, on an empty database and back."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from queen.database import Database, sqlite_url
from tests.integration.conftest import BACKENDS, alembic_config


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path_factory.mktemp("empty") / "rbee.sqlite3")
    url: str = request.getfixturevalue("postgres")
    server = Database(url)
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS empty"))
        connection.execute(text("CREATE DATABASE empty"))
    server.close()
    return url.replace("/postgres?", "/empty?")


def test_an_upgrade_from_nothing_makes_the_tables_of_the_code(empty_url: str) -> None:
    command.upgrade(alembic_config(empty_url), "head")

    database = Database(empty_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, SQLModel.metadata)
        counters = list(connection.execute(text("SELECT name, value FROM counter")))
    database.close()
    assert differences == []
    assert counters == [("event", 0)]


def test_a_downgrade_leaves_nothing_and_an_upgrade_comes_back(empty_url: str) -> None:
    command.upgrade(alembic_config(empty_url), "head")
    command.downgrade(alembic_config(empty_url), "base")

    database = Database(empty_url)
    left = set(inspect(database.engine).get_table_names())
    database.close()
    command.upgrade(alembic_config(empty_url), "head")

    assert left <= {"alembic_version"}
