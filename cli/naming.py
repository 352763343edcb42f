"""From what a person types to ids: jobs by the beginning of their id, hives by name or id."""

import itertools
from typing import Any

from cli import quantities
from cli.queen_api import QueenApi
from shared.errors import InvalidRequest, NotFound
from shared.ids import JOB_ID

SEARCHED = 2000
"""Newest jobs among which the beginning of an id is looked for."""
MIN_PREFIX = 3
PAGE = 200


def find_job(api: QueenApi, given: str) -> str:
    """The id of the one job that is meant. Raises NotFound; InvalidRequest when several are."""
    wanted = given if given.startswith("job-") else f"job-{given}"
    if JOB_ID.fullmatch(wanted):
        return wanted
    if len(wanted) < len("job-") + MIN_PREFIX:
        raise InvalidRequest(f"The beginning of a job's id has {MIN_PREFIX} digits at least.")
    newest = itertools.islice(api.pages("/v1/jobs", limit=PAGE), SEARCHED)
    found = list(itertools.islice((job for job in newest if job["id"].startswith(wanted)), 5))
    if not found:
        raise NotFound(
            f"No job begins with {given}.",
            hint=f"The newest {SEARCHED:,} are searched; older ones need the whole id.",
        )
    if len(found) > 1:
        names = ", ".join(f"{job['id']} ({job['title']})" for job in found)
        raise InvalidRequest(f"Several jobs begin with {given}: {names}")
    return str(found[0]["id"])


def find_hive(api: QueenApi, given: str) -> dict[str, Any]:
    """The one hive that is meant: by id, by name, by the beginning of its id. Raises as `find_job` does."""
    fleet = api.get("/v1/hives")["items"]
    ways = (
        [hive for hive in fleet if hive["id"] == given],
        [hive for hive in fleet if hive["name"] == given and hive["kind"] == "hive"],
        [hive for hive in fleet if hive["name"].lower() == given.lower()],
        [hive for hive in fleet if len(given) >= MIN_PREFIX and hive["id"].startswith(given.lower())],
    )
    found: list[dict[str, Any]] = next(filter(None, ways), [])
    if not found:
        known = ", ".join(hive["name"] for hive in fleet if hive["kind"] == "hive")
        raise NotFound(
            f"There is no hive {given}.", hint=f"There are: {known}" if known else "Start one: rbee up"
        )
    if len(found) > 1:
        names = ", ".join(f"{hive['id']} ({'online' if hive['online'] else 'offline'})" for hive in found)
        raise InvalidRequest(f"Several hives are called {given}: {names}", hint="Name one by its id.")
    return found[0]


def hive_names(api: QueenApi) -> dict[str, str]:
    """Names by id; those that are borne twice with the beginning of the id."""
    fleet = api.get("/v1/hives")["items"]
    names = [hive["name"] for hive in fleet]
    return {
        hive["id"]: hive["name"] if names.count(hive["name"]) == 1 else f"{hive['name']} ({hive['id'][:4]})"
        for hive in fleet
    }


def where(job: dict[str, Any], names: dict[str, str]) -> str:
    """Where a job runs, or may run."""
    if job["is_parent"]:
        return "all"
    if hive_id := job.get("hive_id") or job["target"].get("hive"):
        return names.get(str(hive_id), str(hive_id)[:8])
    return f"any {job['target'].get('capability', '')}".strip()


def described(job: dict[str, Any]) -> str:
    return f"{quantities.short(job['id'])}  {job['title']}"
