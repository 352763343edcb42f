"""The models of the fleet."""

import time

from flask import Blueprint, Response

from queen import events, hives
from queen.guard import needs
from queen.principals import Scope
from queen.services import services
from web.asking import page
from web.models import models_of

models_pages = Blueprint("models_pages", __name__)


@models_pages.get("/models")
@needs(Scope.OPERATE)
def index() -> Response:
    with services().database.read() as session:
        fleet = hives.fleet_view(session, time.time())
        return page("models.html", since=events.newest_id(session), models=models_of(fleet))
