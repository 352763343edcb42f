"""Databases and a broker for tests of the queen: SQLite and PostgreSQL with the migrated tables, and the real server."""

import json
import os
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from flask import Flask
from redis import Redis
from sqlalchemy import text
from sqlmodel import SQLModel, select

import queen
from queen.admin_token import admin_token
from queen.app import create_app, create_services
from queen.database import Database, sqlite_url
from queen.services import Services
from queen.settings import QueenSettings
from shared.broker import redis_client
from shared.protocol import JoinAnswer
from shared.timing import PROTOCOL
from tests.broker import running_broker
from tests.fleet import Fleet, facts
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


class Api:
    """The web application without its server, asked by the admin unless another token is named."""

    def __init__(self, app: Flask, services: Services) -> None:
        self.app, self.services = app, services
        self.database = services.database
        self.admin = admin_token(services.settings)

    def ask(self, method: str, path: str, token: str | None = "", **more: Any) -> Any:
        """`token`: None asks as a stranger, "" as the admin."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.admin}"
        return self.app.test_client().open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.ask("POST", path, json=body, **more)

    def join(self, name: str = "attic") -> JoinAnswer:
        token = json.loads(b64decode_unpadded(self.post("/v1/join-tokens").json["token"]))["token"]
        body = {"token": token, "name": name, "protocol": PROTOCOL, "facts": facts().model_dump(mode="json")}
        answer = self.post("/v1/hives", body, token=None)
        assert answer.status_code == 201, answer.json
        return JoinAnswer.model_validate(answer.json)

    def count(self, table: Any) -> int:
        with self.database.read() as session:
            return len(session.exec(select(table)).all())


@pytest.fixture
def api(database_url: str, broker: tuple[QueenSettings, str], redis: Redis) -> Iterator[Api]:
    settings = broker[0].model_copy(update={"database_url": database_url})
    services = create_services(settings)
    yield Api(create_app(services), services)
    services.hub.close()
    services.heartbeats.close()
    services.teller.close()
    services.database.close()


def b64decode_unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


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
