"""`/v1/jobs`: submit, list, look, cancel, pause, resume, retry, and the explanation of where a job runs."""

import time
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlmodel import col, select

from queen import dispatch, job_list, submission, wishes
from queen.api.requests import json_body, limit_param, since_param
from queen.guard import needs, principal
from queen.job_list import Filter
from queen.job_log import log_lines
from queen.job_view import job_view
from queen.live import Topic
from queen.principals import Scope
from queen.rows import Job
from queen.services import services
from shared.errors import InvalidRequest, NotFound

jobs = Blueprint("jobs", __name__, url_prefix="/v1")

MAX_KEY = 255


@jobs.post("/jobs")
@needs(Scope.OPERATE)
def submit() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Submit a job. `Idempotency-Key` answers a repeated request with the first job for 24 hours."""
    wanted = submission.parse(json_body())
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise InvalidRequest("The Idempotency-Key must have 1 to 255 characters.")
    with services().database.write() as tx:
        job = submission.submit(tx, wanted, principal=principal().name, idempotency_key=key)
    location = url_for("jobs.show", job_id=job.id)
    answer = {"job_id": job.id, "sse_url": url_for("jobs.stream", job_id=job.id), "state": job.state}
    return answer, 202, {"Location": location}


@jobs.get("/jobs")
@needs(Scope.OPERATE)
def index() -> dict[str, Any]:
    """List jobs, newest first. Filters: state (repeatable), operation, hive, since, parent."""
    wanted = Filter(
        states=tuple(state for given in request.args.getlist("state") for state in given.split(",") if state),
        operation=request.args.get("operation") or None,
        hive=request.args.get("hive") or None,
        since=since_param(),
        parent=request.args.get("parent") or None,
    )
    with services().database.read() as session:
        found, following = job_list.page(
            session, wanted, limit=limit_param(), cursor=request.args.get("cursor")
        )
    return {"items": [job_view(job) for job in found], "next_cursor": following}


@jobs.get("/jobs/<job_id>")
@needs(Scope.OPERATE)
def show(job_id: str) -> dict[str, Any]:
    """One job; a job for all hives with its children."""
    with services().database.read() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise NotFound("There is no such job.", hint="List the jobs: rbee job ls")
        view = job_view(job)
        if job.is_parent:
            children = session.exec(select(Job).where(Job.parent_id == job_id).order_by(col(Job.id)))
            view["children"] = [job_view(child) for child in children]
    return view


@jobs.delete("/jobs/<job_id>")
@needs(Scope.OPERATE)
def cancel(job_id: str) -> tuple[dict[str, Any], int]:
    """Cancel a job. It is cancelled when the hive has closed its sockets and files."""
    with services().database.write() as tx:
        job = wishes.cancel(tx, job_id)
    return job_view(job), 202


@jobs.post("/jobs/<job_id>/pauses")
@needs(Scope.OPERATE)
def pause(job_id: str) -> tuple[dict[str, Any], int]:
    """Pause a download; its pieces stay."""
    with services().database.write() as tx:
        job = wishes.pause(tx, job_id)
    return job_view(job), 202


@jobs.post("/jobs/<job_id>/resumptions")
@needs(Scope.OPERATE)
def resume(job_id: str) -> tuple[dict[str, Any], int]:
    """Resume a paused job as its next attempt."""
    with services().database.write() as tx:
        job = wishes.resume(tx, job_id)
    return job_view(job), 202


@jobs.post("/jobs/<job_id>/retries")
@needs(Scope.OPERATE)
def retry(job_id: str) -> tuple[dict[str, Any], int]:
    """Retry a failed or cancelled job as its next attempt; a download goes on from its pieces."""
    with services().database.write() as tx:
        job = wishes.retry(tx, job_id)
    return job_view(job), 202


@jobs.get("/jobs/<job_id>/stream")
@needs(Scope.OPERATE)
def stream(job_id: str) -> Response:
    """Follow one job as server-sent events; `Last-Event-ID` goes on from there."""
    return services().streams.job(job_id)


@jobs.get("/events")
@needs(Scope.OPERATE)
def events() -> Response:
    """Follow the fleet as server-sent events, or some of it: `?job=` (repeatable), `?hive=`."""
    job_ids = frozenset(job for given in request.args.getlist("job") for job in given.split(",") if job)
    return services().streams.fleet(Topic(job_ids, request.args.get("hive") or None))


@jobs.get("/jobs/<job_id>/log")
@needs(Scope.OPERATE)
def log(job_id: str) -> Response:
    """The whole narration as plain text."""
    database = services().database
    with database.read() as session:
        if session.get(Job, job_id) is None:
            raise NotFound("There is no such job.", hint="List the jobs: rbee job ls")
    return Response(log_lines(database, job_id), mimetype="text/plain")


@jobs.get("/jobs/<job_id>/why")
@needs(Scope.OPERATE)
def why(job_id: str) -> dict[str, Any]:
    """Why the job runs where it runs: every hive, the filter that failed, and what would make it pass."""
    with services().database.read() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise NotFound("There is no such job.", hint="List the jobs: rbee job ls")
        return dispatch.why(session, job, time.time())
