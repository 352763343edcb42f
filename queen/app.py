"""The composition root of the web process: the only place that knows both the queen's domain and the pages."""

import socket
from urllib.parse import urlsplit

from flask import Flask

import web
from queen import guard
from queen.admin_token import admin_token
from queen.api import errors
from queen.api.admin import admin
from queen.api.fleet import holdings
from queen.api.hives import fleet
from queen.api.jobs import jobs
from queen.api.system import system
from queen.broker_server import broker_url
from queen.database import Database
from queen.heartbeats import HeartbeatWriter
from queen.live import Hub
from queen.principals import Principals
from queen.services import EXTENSION, Services
from queen.settings import QueenSettings
from queen.streams import Streams
from queen.telling import Teller
from queen.vault import Vault
from shared.broker import celery_app, redis_client
from shared.timing import LIVE_CATCH_UP


def create_services(settings: QueenSettings) -> Services:
    url = broker_url(settings)
    redis = redis_client(url)
    celery = celery_app("queen", url)
    teller = Teller(redis, celery)
    database = Database(settings.database_url, tell=teller)
    hub = Hub(database, redis_client(url, blocking=LIVE_CATCH_UP))
    return Services(
        settings=settings,
        database=database,
        redis=redis,
        celery=celery,
        teller=teller,
        hub=hub,
        streams=Streams(database, hub, redis),
        principals=Principals(database, admin_token(settings)),
        vault=Vault(settings.queen_dir / "secret.key", settings.secrets()),
        heartbeats=HeartbeatWriter(database),
    )


def create_app(services: Services) -> Flask:
    app = Flask("rbee", static_folder=None)
    app.config["RBEE_HOSTS"] = _own_hosts(services.settings)
    app.config["MAX_CONTENT_LENGTH"] = guard.MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = services
    guard.install(app)
    errors.install(app, web.error_page)
    for blueprint in (jobs, fleet, holdings, admin, system):
        app.register_blueprint(blueprint)
    web.install(app)
    return app


def _own_hosts(settings: QueenSettings) -> frozenset[str]:
    hosts = {
        "localhost",
        settings.host.lower(),
        socket.gethostname().lower(),
        f"{socket.gethostname().lower()}.local",
    }
    if settings.queen_url:
        hosts.add(urlsplit(settings.queen_url).hostname or "")
    return frozenset(hosts)
