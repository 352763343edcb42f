"""Jobs: submitting, the list, one job with its narration, and what may be asked of it."""

import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

from flask import Blueprint, Response, render_template, request
from sqlmodel import Session, col, select
from werkzeug.wrappers import Response as AnyResponse

from queen import dispatch, events, hives, job_list, submission, wishes
from queen.database import Transaction
from queen.guard import needs, principal
from queen.job_list import Filter
from queen.principals import Scope
from queen.rows import Job
from queen.services import services
from shared.errors import NotFound, RbeeError
from shared.operations import OPERATIONS
from shared.states import JobState
from web import job_cards, narration
from web.asking import field, go, go_back, page, wants_fragment
from web.download_form import DownloadForm, targets
from web.pages import dashboard

jobs_pages = Blueprint("jobs_pages", __name__)

PAGE = 40
"""Jobs of one page of the list."""


@jobs_pages.post("/downloads")
@needs(Scope.OPERATE)
def download() -> AnyResponse:
    form = DownloadForm.of(request.form)
    try:
        job = _submit(form.body())
    except RbeeError as error:
        return _form_again(form.refused(error), error.status)
    if not wants_fragment():
        return go(f"/jobs/{job.id}")
    with services().database.read() as session:
        card = render_template("_job_card.html", job=job_cards.one(session, job))
        return page(
            "_download_form.html",
            202,
            form=DownloadForm(target=form.target),
            targets=_targets(session),
            before=card,
        )


@jobs_pages.post("/jobs")
@needs(Scope.OPERATE)
def submit() -> AnyResponse:
    """A job about a model that a hive has: `operation`, `model`, `hive`."""
    job = _submit(
        {"operation": field("operation"), "model": field("model"), "target": {"hive": field("hive")}}
    )
    return _card(job) if wants_fragment() else go(f"/jobs/{job.id}")


@jobs_pages.get("/jobs")
@needs(Scope.OPERATE)
def index() -> Response:
    wanted = Filter(
        states=tuple(request.args.getlist("state")),
        operation=request.args.get("operation") or None,
        hive=request.args.get("hive") or None,
        top=not request.args.get("hive"),
    )
    if wanted.problems():
        wanted = replace(wanted, states=(), operation=None)
    with services().database.read() as session:
        found, following = job_list.page(session, wanted, limit=PAGE, cursor=request.args.get("cursor"))
        fleet = [hive for hive in hives.members(session) if hive.kind == "hive"]
        return page(
            "jobs.html",
            since=events.newest_id(session),
            jobs=job_cards.of_rows(session, found),
            wanted=wanted,
            chips=_chips(wanted, [(hive.id, hive.name) for hive in fleet]),
            first=not request.args.get("cursor"),
            following=following and _url(wanted, cursor=following),
        )


@jobs_pages.get("/jobs/<job_id>")
@needs(Scope.OPERATE)
def show(job_id: str) -> Response:
    with services().database.read() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise NotFound("There is no such job.", hint="It may be older than what is kept.")
        lines, older = narration.newest(session, job_id)
        children = session.exec(select(Job).where(Job.parent_id == job_id).order_by(col(Job.id)))
        return page(
            "job.html",
            since=events.newest_id(session),
            job=job_cards.one(session, job),
            lines=lines,
            older=older,
            children=job_cards.of_rows(session, children) if job.is_parent else [],
            why=None if job.is_parent else dispatch.why(session, job, time.time()),
        )


@jobs_pages.post("/jobs/<job_id>/cancellations")
@needs(Scope.OPERATE)
def cancel(job_id: str) -> AnyResponse:
    return _wish(wishes.cancel, job_id)


@jobs_pages.post("/jobs/<job_id>/pauses")
@needs(Scope.OPERATE)
def pause(job_id: str) -> AnyResponse:
    return _wish(wishes.pause, job_id)


@jobs_pages.post("/jobs/<job_id>/resumptions")
@needs(Scope.OPERATE)
def resume(job_id: str) -> AnyResponse:
    return _wish(wishes.resume, job_id)


@jobs_pages.post("/jobs/<job_id>/retries")
@needs(Scope.OPERATE)
def retry(job_id: str) -> AnyResponse:
    return _wish(wishes.retry, job_id)


def _submit(body: dict[str, object]) -> Job:
    wanted = submission.parse(body)
    with services().database.write() as tx:
        return submission.submit(tx, wanted, principal=principal().name)


def _wish(wish: Callable[[Transaction, str], Job], job_id: str) -> AnyResponse:
    with services().database.write() as tx:
        job = wish(tx, job_id)
    return _card(job) if wants_fragment() else go_back(f"/jobs/{job_id}")


def _card(job: Job) -> Response:
    with services().database.read() as session:
        return page("_job_card.html", 202, job=job_cards.one(session, job))


def _form_again(form: DownloadForm, status: int) -> Response:
    with services().database.read() as session:
        if wants_fragment():
            return page("_download_form.html", status, form=form, targets=_targets(session))
        return dashboard.render(session, form, status)


def _targets(session: Session) -> list[tuple[str, list[tuple[str, str]]]]:
    return targets(hives.fleet_view(session, time.time()))


def _chips(wanted: Filter, fleet: list[tuple[str, str]]) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Groups of (words, address, whether it is on); a chip that is on leads to the list without it."""
    states = [
        (
            state.value,
            _url(replace(wanted, states=_toggled(wanted.states, state))),
            state.value in wanted.states,
        )
        for state in JobState
    ]
    operations = [
        (
            name.replace("_", " "),
            _url(replace(wanted, operation=None if wanted.operation == name else name)),
            wanted.operation == name,
        )
        for name in OPERATIONS
    ]
    machines = [
        (
            name,
            _url(replace(wanted, hive=None if wanted.hive == hive_id else hive_id)),
            wanted.hive == hive_id,
        )
        for hive_id, name in fleet
    ]
    return [("State", states), ("Kind", operations), ("Machine", machines)]


def _toggled(states: tuple[str, ...], state: str) -> tuple[str, ...]:
    return tuple(s for s in states if s != state) if state in states else (*states, state)


def _url(wanted: Filter, cursor: str | None = None) -> str:
    pairs = [("state", state) for state in wanted.states]
    pairs += [
        (name, value)
        for name, value in (("operation", wanted.operation), ("hive", wanted.hive), ("cursor", cursor))
        if value
    ]
    return f"/jobs?{urlencode(pairs)}" if pairs else "/jobs"
