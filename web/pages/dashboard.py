"""The dashboard: the machines, the jobs, and the form that starts a download."""

import time

from flask import Blueprint, Response, request
from sqlmodel import Session

from queen import events, hives, job_board
from queen.guard import needs
from queen.principals import Scope
from queen.services import services
from web import job_cards
from web.asking import page
from web.download_form import DownloadForm, targets
from web.machines import machines_of
from web.models import models_of

dashboard_pages = Blueprint("dashboard_pages", __name__)

RECENT = 8
"""Ended jobs shown below the active ones."""


@dashboard_pages.get("/")
@needs(Scope.OPERATE)
def show() -> Response:
    with services().database.read() as session:
        return render(session, DownloadForm.of(request.args))


def render(session: Session, form: DownloadForm, status: int = 200) -> Response:
    fleet = hives.fleet_view(session, time.time())
    return page(
        "dashboard.html",
        status,
        since=events.newest_id(session),
        hives=machines_of(fleet),
        jobs=job_cards.of_rows(session, job_board.current(session, recent=RECENT)),
        models=models_of(fleet),
        form=form,
        targets=targets(fleet),
    )
