"""Hives: the list, one hive with what lies on it, joining another machine, renaming and removing."""

import time
from typing import Any

from flask import Blueprint, Response, request
from pydantic import ValidationError
from sqlmodel import Session
from werkzeug.wrappers import Response as AnyResponse

from queen import artifacts, events, hives, job_list, joining
from queen.api.hives import HivePatch
from queen.certificate import certificate_fingerprint
from queen.guard import needs
from queen.job_list import Filter
from queen.principals import Scope
from queen.services import services
from queen.settings import is_loopback
from shared.errors import InvalidRequest
from web import job_cards
from web.asking import field, go, page, wants_fragment
from web.labels import labels_of, written
from web.machines import machines_of

hives_pages = Blueprint("hives_pages", __name__)

JOBS = 10
"""Newest jobs on a hive's page."""


@hives_pages.get("/hives")
@needs(Scope.OPERATE)
def index() -> Response:
    return _list()


@hives_pages.post("/join-tokens")
@needs(Scope.ADMIN)
def create_join_token() -> Response:
    """The command is shown in this answer and never again."""
    settings = services().settings
    url = (settings.queen_url or request.host_url).rstrip("/")
    with services().database.write() as tx:
        _, token = joining.new_join_token(
            tx, queen_url=url, certificate=certificate_fingerprint(settings.tls_cert)
        )
    command = f"rbee hive join {url} {token}"
    if wants_fragment():
        return page("_join_box.html", 201, **_join_facts(), command=command)
    return _list(201, command=command)


@hives_pages.get("/hives/<hive_id>")
@needs(Scope.OPERATE)
def show(hive_id: str) -> Response:
    with services().database.read() as session:
        return _hive(session, hive_id)


@hives_pages.post("/hives/<hive_id>")
@needs(Scope.ADMIN)
def change(hive_id: str) -> AnyResponse:
    try:
        patch = HivePatch(name=field("name"), labels=labels_of(field("labels")))
    except (ValidationError, InvalidRequest) as error:
        with services().database.read() as session:
            return _hive(session, hive_id, 400, problems=_problems(error))
    with services().database.write() as tx:
        hives.describe(tx, hive_id, name=patch.name, labels=patch.labels or {})
    return go(f"/hives/{hive_id}")


@hives_pages.post("/hives/<hive_id>/removals")
@needs(Scope.ADMIN)
def remove(hive_id: str) -> AnyResponse:
    with services().database.write() as tx:
        hive = joining.remove(tx, hive_id)
    services().principals.forget()
    joining.disallow_on_broker(services().redis, hive.id)
    return go("/hives")


def _list(status: int = 200, command: str | None = None) -> Response:
    with services().database.read() as session:
        fleet = hives.fleet_view(session, time.time())
        return page(
            "hives.html",
            status,
            since=events.newest_id(session),
            hives=machines_of(fleet),
            helpers=[hive for hive in fleet if hive["kind"] != "hive"],
            command=command,
            **_join_facts(),
        )


def _hive(
    session: Session, hive_id: str, status: int = 200, problems: dict[str, str] | None = None
) -> Response:
    hive = hives.hive_view(hives.get(session, hive_id), artifacts.by_hive(session, hive_id)[hive_id])
    found, _ = job_list.page(session, Filter(hive=hive_id), limit=JOBS)
    return page(
        "hive.html",
        status,
        since=events.newest_id(session),
        hive=hive,
        jobs=job_cards.of_rows(session, found),
        labels=field("labels") if problems else written(hive["labels"]),
        name=field("name") if problems else hive["name"],
        problems=problems or {},
    )


def _join_facts() -> dict[str, Any]:
    settings = services().settings
    return {"only_here": is_loopback(settings.host) and not settings.queen_url, "life": joining.TOKEN_LIFE}


def _problems(error: ValidationError | InvalidRequest) -> dict[str, str]:
    if isinstance(error, InvalidRequest):
        return {"labels": error.message}
    words = {
        "name": "1 to 64 letters, digits, blanks, dots or hyphens, beginning with a letter or digit.",
        "labels": "At most 32 labels.",
    }
    return {
        name: words.get(name, "cannot be used")
        for problem in error.errors(include_input=False)
        for name in [str(problem["loc"][0])]
    }
