"""`rbee job`: submit, list, look, follow and steer."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cli import exit_codes, job_view, main, naming, options, quantities, running, screen, targets
from cli.event_stream import ServerEvent
from cli.exit_codes import ExitCode
from cli.follow import Job, stream
from cli.queen_api import QueenApi, connect
from shared.errors import Conflict, RbeeError
from shared.states import FINAL, JobState

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def job() -> None:
    """Submit, list, follow and steer jobs.

    Jobs are named by their id or by the beginning of it, hives by name or id.
    """


@job.command()
@click.argument("operation")
@click.argument("params", metavar="[KEY=VALUE]...", nargs=-1)
@options.targets
@click.option("-f", "--follow", is_flag=True, help="Stay with it to its end.")
@options.as_json
def submit(
    *,
    operation: str,
    params: tuple[str, ...],
    hive: str | None,
    capability: str | None,
    everywhere: bool,
    follow: bool,
    as_json: bool,
) -> int:
    """Submit a job.

    \b
      rbee job submit model_download model=org/repo --hive gpu-box

    A value is text; KEY:=VALUE gives it as JSON.
    """
    given = dict(_param(text) for text in params)
    api = connect()
    target = targets.said(api, hive, capability, everywhere)
    if target is None:
        raise click.UsageError("Say where: --hive NAME, --capability NAME or --all.")
    answer = running.submit(api, operation, given, target)
    return running.run(api, [answer], detach=not follow, as_json=as_json)


@job.command("ls")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in JobState]),
    help="Only these; repeatable.",
)
@click.option("--operation", help="Only this operation.")
@click.option("--hive", metavar="NAME", shell_complete=options.complete_hive, help="Only on this hive.")
@click.option("--since", metavar="TIME", help="Not older than this: 30m, 2h, 7d, or a date as in ISO 8601.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--all-pages", is_flag=True, help="All there are.")
@options.as_json
def list_jobs(
    *,
    states: tuple[str, ...],
    operation: str | None,
    hive: str | None,
    since: str | None,
    limit: int,
    all_pages: bool,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    api = connect()
    wanted = {
        "state": ",".join(states) or None,
        "operation": operation,
        "hive": naming.find_hive(api, hive)["id"] if hive else None,
        "since": _since(since) if since else None,
    }
    if all_pages:
        page = {"items": list(api.pages("/v1/jobs", **wanted, limit=naming.PAGE)), "next_cursor": None}
    else:
        page = api.get("/v1/jobs", **wanted, limit=limit)
    if as_json:
        screen.document(page)
        return
    if not page["items"]:
        screen.say("There are no such jobs." if any(wanted.values()) else "There are no jobs yet.", err=True)
        return
    job_view.table(page["items"], naming.hive_names(api))
    if page["next_cursor"]:
        screen.say("There are more: --limit 200, or --all-pages", "bright_black", err=True)


@job.command()
@options.job_argument()
@options.as_json
def show(job: str, as_json: bool) -> None:
    """Show one job; of a job for all hives also what each of them does."""
    api = connect()
    found = api.get(f"/v1/jobs/{naming.find_job(api, job)}")
    if as_json:
        screen.document(found)
        return
    job_view.show(found, naming.hive_names(api))


@job.command()
@options.job_argument()
@click.option(
    "-f", "--follow", is_flag=True, help="Stay with it to its end; the exit code says how that was."
)
@click.option(
    "--json", "as_json", is_flag=True, help="With -f: the events of the stream, one JSON object a line."
)
def logs(job: str, follow: bool, as_json: bool) -> int:
    """Print what a job told."""
    if as_json and not follow:
        raise click.UsageError("--json needs -f: it prints the events of the stream.")
    api = connect()
    job_id = naming.find_job(api, job)
    if as_json:
        return _events(api, job_id)
    found = api.get(f"/v1/jobs/{job_id}")
    if follow:
        return running.watch(api, [job_id], stamped=True)
    _print_log(api, found)
    return ExitCode.DONE


@job.command()
@options.job_argument()
@options.as_json
def why(job: str, as_json: bool) -> None:
    """Explain where a job runs: each hive, what speaks against it, and what would help."""
    api = connect()
    found = api.get(f"/v1/jobs/{naming.find_job(api, job)}/why")
    if as_json:
        screen.document(found)
        return
    job_view.explain(found, naming.hive_names(api))


def _steering(name: str, help_text: str, act: Callable[[QueenApi, str], Job], done: str) -> None:
    @job.command(name, help=help_text)
    @options.job_argument("jobs", several=True)
    @options.as_json
    def steer(jobs: tuple[str, ...], as_json: bool) -> int:
        api, code, taken = connect(), ExitCode.DONE, []
        for given in jobs:
            try:
                taken.append(act(api, naming.find_job(api, given)))
            except RbeeError as error:
                main.tell(error)
                code = code or exit_codes.of_error(error)
            else:
                if not as_json:
                    screen.say(f"{done} {naming.described(taken[-1])}")
        if as_json:
            screen.document({"items": taken})
        return code


def _cancel(api: QueenApi, job_id: str) -> Job:
    job: Job = api.get(f"/v1/jobs/{job_id}")
    if job["state"] in FINAL:
        raise Conflict(f"{naming.described(job)}: it is {job['state']}; there is nothing to cancel.")
    answer: Job = api.delete(f"/v1/jobs/{job_id}")
    return answer


_steering("cancel", "Cancel jobs.", _cancel, "Cancels")
_steering(
    "pause",
    "Pause downloads; what is on disk stays.",
    lambda api, job: api.post(f"/v1/jobs/{job}/pauses"),
    "Pauses",
)
_steering(
    "resume", "Go on with paused jobs.", lambda api, job: api.post(f"/v1/jobs/{job}/resumptions"), "Resumes"
)
_steering(
    "retry",
    "Try failed or cancelled jobs again; a download goes on from what is on disk.",
    lambda api, job: api.post(f"/v1/jobs/{job}/retries"),
    "Retries",
)


def _param(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.UsageError(f"{text} is no KEY=VALUE.")
    if not key.endswith(":"):
        return key, value
    try:
        return key[:-1], json.loads(value)
    except ValueError as error:
        raise click.UsageError(f"The value of {key[:-1]} is not JSON.") from error


def _since(text: str) -> str:
    """`2h` is two hours before now; everything else is the server's to read."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if not match:
        return text
    before = timedelta(**{_UNITS[match[2]]: int(match[1])})
    return (datetime.now(UTC) - before).isoformat()


def _print_log(api: QueenApi, found: Job) -> None:
    for part in [found, *found.get("children", [])]:
        if part is not found:
            place = naming.hive_names(api).get(part["hive_id"], "")
            click.echo(f"\n==> {place} ({quantities.short(part['id'])}) <==")
        for line in api.lines(f"/v1/jobs/{part['id']}/log"):
            click.echo(screen.printable(line))


def _events(api: QueenApi, job_id: str) -> int:
    state = None
    try:
        for event in stream(api, job_id):
            if isinstance(event, ServerEvent):
                screen.json_line({"event": event.type, "id": event.id, "data": event.data})
                state = event.data["state"] if event.type == "end" else state
    except KeyboardInterrupt:
        return ExitCode.DETACHED
    return exit_codes.of_states([state or api.get(f"/v1/jobs/{job_id}")["state"]])
