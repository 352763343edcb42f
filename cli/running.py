"""Submits jobs and stays with them to their end; Ctrl-C leaves them alone."""

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from cli import display, exit_codes, naming, quantities, screen
from cli.exit_codes import ExitCode
from cli.follow import Job, follow
from cli.queen_api import QueenApi
from shared.errors import Unavailable
from shared.states import FINAL


def submit(api: QueenApi, operation: str, params: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """`{job_id, sse_url, state}`. An identical download that is under way is answered with its own id."""
    answer: dict[str, Any] = api.post("/v1/jobs", {"operation": operation, **params, "target": target})
    return answer


def run(api: QueenApi, submitted: Sequence[dict[str, Any]], *, detach: bool, as_json: bool) -> int:
    """The exit code, once the jobs have ended; at once with `detach`."""
    job_ids = [answer["job_id"] for answer in submitted]
    if detach:
        tell_detached(submitted, as_json)
        return ExitCode.DONE
    if not as_json:
        for answer in submitted:
            _introduce(api, answer)
    return watch(api, job_ids, as_json=as_json)


def watch(api: QueenApi, job_ids: list[str], *, as_json: bool = False, stamped: bool = False) -> int:
    """Follows jobs to their end; the exit code says how that was."""
    shown = display.display(naming.hive_names(api), stamped=stamped, silent=as_json, many=len(job_ids) > 1)
    try:
        with _interruptible():
            jobs = follow(api, job_ids, shown)
    except KeyboardInterrupt:
        _tell_how_to_go_on(job_ids)
        return ExitCode.DETACHED
    except Unavailable as error:
        error.hint = f"{error.hint} Follow it: rbee job logs -f {quantities.short(job_ids[0])}"
        raise
    if as_json:
        screen.document(jobs[0] if len(jobs) == 1 else {"items": jobs})
    for job in jobs:
        message = str((job.get("error") or {}).get("message", ""))
        tell_end(job, told=message != "" and shown.has_said(job["id"], message))
    return exit_codes.of_states([job["state"] for job in jobs])


def tell_end(job: Job, *, told: bool) -> None:
    """On stderr, how a job ended that did not complete. `told`: the narration has just said why."""
    if job["state"] not in {"failed", "cancelled"}:
        return
    error = job.get("error") or {"message": "no reason is known."}
    how = (
        "was cancelled."
        if job["state"] == "cancelled"
        else "failed."
        if told
        else f"failed: {error['message']}"
    )
    hint = "" if told or job["state"] == "cancelled" else error.get("hint") or ""
    again = f"Try again: rbee job retry {quantities.short(job['id'])}"
    click.echo(f"rbee: {screen.printable(job.get('title') or job['id'])} {screen.printable(how)}", err=True)
    click.echo(f"      {screen.printable(f'{hint} {again}'.strip())}", err=True)


def tell_detached(submitted: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        screen.document(submitted[0] if len(submitted) == 1 else {"items": list(submitted)})
        return
    for answer in submitted:
        click.echo(answer["job_id"])
    if sys.stdout.isatty():
        click.echo(f"Follow: rbee job logs -f {quantities.short(submitted[0]['job_id'])}", err=True)


def _introduce(api: QueenApi, answer: dict[str, Any]) -> None:
    job = api.get(f"/v1/jobs/{answer['job_id']}")
    place = naming.where(job, naming.hive_names(api))
    place = {"all": "all hives"}.get(place, place.replace("any ", "any hive with "))
    known = job["state"] not in FINAL and answer["state"] != "queued"
    beginning = "Already under way: " if known else ""
    screen.say(f"{beginning}{job['title']} on {place}, job {quantities.short(job['id'])}", "bold")


def _tell_how_to_go_on(job_ids: Sequence[str]) -> None:
    ids = [quantities.short(job_id) for job_id in job_ids]
    noun = "the job goes on" if len(ids) == 1 else "the jobs go on"
    click.echo(f"\rDetached; {noun}.", err=True)
    click.echo(f"  Follow it:  rbee job logs -f {ids[0]}", err=True)
    click.echo(f"  Cancel it:  rbee job cancel {' '.join(ids)}", err=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """TERM and HUP leave as Ctrl-C does, so that the terminal gets its cursor back."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
