"""What the views of one web process share."""

from dataclasses import dataclass
from typing import cast

from celery import Celery
from flask import current_app
from redis import Redis

from queen.database import Database
from queen.heartbeats import HeartbeatWriter
from queen.live import Hub
from queen.principals import Principals
from queen.settings import QueenSettings
from queen.streams import Streams
from queen.telling import Teller
from queen.vault import Vault

EXTENSION = "rbee"


@dataclass(frozen=True)
class Services:
    settings: QueenSettings
    database: Database
    redis: Redis
    celery: Celery
    teller: Teller
    hub: Hub
    streams: Streams
    principals: Principals
    vault: Vault
    heartbeats: HeartbeatWriter


def services() -> Services:
    """Those of the current application."""
    return cast(Services, current_app.extensions[EXTENSION])
