"""The HTTP API: answers, refusals and their shape. Bad input leaves no row and is not repeated."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queen.rows import IdempotencyKey, Job
from shared.operations import OPERATIONS
from tests.integration.conftest import Api

SECRET = "do-not-repeat-me"
GOOD = {"operation": "model_download", "model": "org/repo", "target": {"capability": "cpu"}}


def is_error(answer: Any, status: int, code: str | None = None) -> bool:
    body = answer.get_json()
    error = body["error"]
    assert answer.status_code == status, body
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(error) <= {"code", "message", "details", "hint"}
    assert SECRET not in answer.get_data(as_text=True)
    assert code is None or error["code"] == code, error
    return True


def test_a_submission_is_answered_with_where_to_look(api: Api) -> None:
    answer = api.post("/v1/jobs", GOOD)

    job_id = answer.json["job_id"]
    assert answer.status_code == 202
    assert answer.json == {"job_id": job_id, "sse_url": f"/v1/jobs/{job_id}/stream", "state": "queued"}
    assert answer.headers["Location"] == f"/v1/jobs/{job_id}"
    shown = api.get(f"/v1/jobs/{job_id}").json
    assert {
        "id": job_id,
        "operation": "model_download",
        "params": {"model": "org/repo"},
        "target": {"capability": "cpu"},
        "state": "queued",
        "attempt": 1,
        "losses": 0,
        "hive_id": None,
        "progress": None,
        "error": None,
        "result": None,
    }.items() <= shown.items()
    assert api.get(f"/v1/jobs/{job_id}/why").json["hives"] == []
    assert api.get(f"/v1/jobs/{job_id}/log").status_code == 200


BAD_BODIES: list[Any] = [
    None,
    [],
    "word",
    {},
    {"operation": "rm_rf"},
    {"operation": ["model_download"]},
    {**GOOD, "color": SECRET},
    {**GOOD, "model": 7},
    {**GOOD, "model": None},
    {**GOOD, "model": SECRET},
    {**GOOD, "model": "../etc/passwd"},
    {**GOOD, "model": "org/../../etc"},
    {**GOOD, "model": "org/repo:../../" + SECRET},
    {**GOOD, "model": "org/repo:/etc/" + SECRET},
    {**GOOD, "model": f"org/repo:{SECRET}\n"},
    {**GOOD, "model": f"org/repo:{SECRET}\x00"},
    {**GOOD, "model": f"org/repo:{SECRET}\ud800"},
    {**GOOD, "model": "org\\repo"},
    {**GOOD, "model": "file:///models/../" + SECRET},
    {**GOOD, "model": f"https://user:{SECRET}@host/file"},
    {**GOOD, "model": "https://"},
    {**GOOD, "model": "https://[" + SECRET},
    {**GOOD, "model": "x" * 2000},
    {**GOOD, "revision": "../" + SECRET},
    {**GOOD, "revision": SECRET + "\n"},
    {**GOOD, "sha256": SECRET},
    {**GOOD, "sha256": "0" * 64 + "\n"},
    {**GOOD, "target": None},
    {**GOOD, "target": {}},
    {**GOOD, "target": SECRET},
    {**GOOD, "target": {"capability": SECRET}},
    {**GOOD, "target": {"capability": "cpu", "all": True}},
    {**GOOD, "target": {"all": False}},
    {**GOOD, "target": {"all": "yes"}},
    {**GOOD, "target": {"hive": 7}},
    {**GOOD, "target": {"hive": ""}},
    {**GOOD, "target": {"hive": "x" * 65}},
    {**GOOD, "target": {"ssh": "host"}},
    {**GOOD, "target": {"cloud": SECRET}},
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_bad_body_is_refused_before_any_row(api: Api, body: Any) -> None:
    answer = api.ask("POST", "/v1/jobs", data=json.dumps(body), content_type="application/json")

    assert is_error(answer, 400)
    assert api.count(Job) == 0


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff", b'{"operation": NaN}', b"[" * 100_000, b'{"a":' * 2000, b"[1e999]", b'{"a": "\\ud800"}'],
)
def test_what_is_not_json_is_refused(api: Api, raw: bytes) -> None:
    assert is_error(api.ask("POST", "/v1/jobs", data=raw), 400, "invalid_json")


def test_several_problems_come_at_once(api: Api) -> None:
    answer = api.post(
        "/v1/jobs", {"operation": "model_download", "model": "x", "sha256": "y", "target": {"a": 1}}
    )

    assert is_error(answer, 400)
    assert {detail["field"] for detail in answer.json["error"]["details"]} == {"model", "sha256", "target.a"}


def test_an_unknown_hive_is_not_found(api: Api) -> None:
    assert is_error(api.post("/v1/jobs", {**GOOD, "target": {"hive": "0" * 16}}), 404, "unknown_hive")
    assert is_error(api.post("/v1/jobs", {**GOOD, "target": {"all": True}}), 409, "no_hive_fits")
    assert api.count(Job) == 0


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    assert is_error(api.ask("POST", "/v1/jobs", data=b" " * (1024 * 1024 + 1)), 413, "too_large")


@pytest.mark.parametrize(
    "path", ["/v1/jobs/nothing", "/v1/jobs/a%00b", "/v1/jobs/%ff", "/v1/nothing", "/v1/jobs/x/log"]
)
def test_what_is_not_there_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)

    assert is_error(answer, 400 if "%00" in path else 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_method_that_an_address_does_not_take(api: Api, method: str) -> None:
    assert is_error(api.ask(method, "/v1/jobs"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=" + "9" * 5000,
        "limit=%C2%B2",
        "since=yesterday",
        "since=nan",
        "since=inf",
        "since=" + "9" * 400,
        "state=dead",
        "operation=rm",
        "cursor=x",
        "cursor=%00",
        "cursor=WzFlOTk5LCJ4Il0",
        "cursor=W25hbiwgIngiXQ",
        "cursor=W1tbW1tbW1tbW1tb",
        "hive=%00",
    ],
)
def test_a_bad_query_is_refused(api: Api, query: str) -> None:
    assert is_error(api.get(f"/v1/jobs?{query}"), 400)


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30, "%C2%B2"])
def test_a_bad_last_event_id_is_refused(api: Api, value: str) -> None:
    assert is_error(api.get(f"/v1/events?last_event_id={value}"), 400)


def test_lists_go_on_where_the_cursor_says_and_show_nothing_twice(api: Api) -> None:
    made = [api.post("/v1/jobs", {**GOOD, "model": f"org/m{n}"}).json["job_id"] for n in range(7)]

    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/v1/jobs?limit=3&cursor={cursor}").json
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        api.post("/v1/jobs", {**GOOD, "model": f"org/later{len(seen)}"})

    assert seen == made[::-1]


def test_filters_narrow_the_list(api: Api) -> None:
    first = api.post("/v1/jobs", GOOD).json["job_id"]
    second = api.post("/v1/jobs", {**GOOD, "operation": "model_verify"}).json["job_id"]
    api.ask("DELETE", f"/v1/jobs/{first}")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in api.get(f"/v1/jobs?{query}").json["items"]]

    assert ids("state=cancelled") == [first]
    assert ids("state=queued,cancelled") == [second, first]
    assert ids("operation=model_verify") == [second]
    assert ids("hive=none") == []
    assert ids(f"since={time.time() + 60}") == []
    assert ids("since=2020-01-01T00:00:00Z") == [second, first]


def test_wishes_are_accepted_or_refused_with_the_state(api: Api) -> None:
    job_id = api.post("/v1/jobs", GOOD).json["job_id"]

    assert is_error(api.post(f"/v1/jobs/{job_id}/resumptions"), 409, "wrong_state")
    assert is_error(api.post(f"/v1/jobs/{job_id}/retries"), 409, "wrong_state")
    assert api.post(f"/v1/jobs/{job_id}/pauses").status_code == 202
    assert is_error(api.post(f"/v1/jobs/{job_id}/pauses"), 409, "wrong_state")
    assert api.post(f"/v1/jobs/{job_id}/resumptions").json["attempt"] == 2
    assert api.ask("DELETE", f"/v1/jobs/{job_id}").status_code == 202
    assert is_error(api.ask("DELETE", f"/v1/jobs/{job_id}"), 404)
    assert is_error(api.ask("DELETE", "/v1/jobs/nothing"), 404)
    assert api.post(f"/v1/jobs/{job_id}/retries").json["state"] == "queued"


# Idempotency keys.


def keyed(api: Api, key: str, token: str = "", **changed: Any) -> Any:
    return api.post("/v1/jobs", {**GOOD, **changed}, token=token, headers={"Idempotency-Key": key})


def test_a_repeated_key_is_answered_with_the_first_job(api: Api) -> None:
    first = keyed(api, "k").json["job_id"]
    api.ask("DELETE", f"/v1/jobs/{first}")

    assert keyed(api, "k").json["job_id"] == first
    assert keyed(api, "another").json["job_id"] != first
    assert is_error(keyed(api, "k", model="org/other"), 422, "idempotency_mismatch")
    assert api.count(Job) == 2


def test_a_key_belongs_to_its_principal_and_expires(api: Api) -> None:
    other = api.post("/v1/keys", {"name": "ci", "scopes": ["operate"]}).json["token"]
    first = keyed(api, "k").json["job_id"]
    api.ask("DELETE", f"/v1/jobs/{first}")

    second = keyed(api, "k", token=other).json["job_id"]
    api.ask("DELETE", f"/v1/jobs/{second}")
    with api.database.write() as tx:
        row = tx.session.get(IdempotencyKey, ("admin", "k"))
        assert row is not None
        row.created_at -= 25 * 3600
    third = keyed(api, "k").json["job_id"]

    assert len({first, second, third}) == 3


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_no_use_is_refused(api: Api, key: str) -> None:
    assert is_error(keyed(api, key), 400)
    assert api.count(Job) == 0


# Fuzz: never a 500.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
bodies = anything | st.fixed_dictionaries(
    {"operation": st.sampled_from(list(OPERATIONS)) | st.text(max_size=10)},
    optional={
        "model": st.text(max_size=60) | st.from_regex(r"[a-z]{1,5}/[\w.-]{1,9}(:.{1,20})?") | anything,
        "revision": st.text(max_size=20) | anything,
        "sha256": st.text(max_size=70) | anything,
        "target": anything
        | st.dictionaries(st.sampled_from(["hive", "capability", "all", "ssh"]), anything, max_size=2)
        | st.just({"capability": "cpu"}),
    },
)
FUZZ = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@FUZZ
@given(body=bodies)
def test_no_body_breaks_the_queen(api: Api, body: Any) -> None:
    answer = api.ask("POST", "/v1/jobs", data=json.dumps(body), content_type="application/json")

    assert answer.status_code in {202, 400, 404, 409}, answer.json


@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(["state", "operation", "hive", "since", "parent", "cursor", "limit", "job"]),
        st.text(max_size=30) | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(str),
    )
)
def test_no_query_breaks_the_queen(api: Api, query: dict[str, str]) -> None:
    cleaned = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}

    assert api.get("/v1/jobs", query_string=cleaned).status_code in {200, 400}


@FUZZ
@given(raw=st.binary(max_size=200))
def test_no_cursor_and_no_id_breaks_the_queen(api: Api, raw: bytes) -> None:
    from base64 import urlsafe_b64encode
    from urllib.parse import quote

    cursor = urlsafe_b64encode(raw).decode()

    assert api.get(f"/v1/jobs?cursor={cursor}").status_code in {200, 400}
    assert api.get(f"/v1/jobs/{quote(raw, safe='')}").status_code in {200, 308, 400, 404}


@FUZZ
@given(body=anything, kind=st.sampled_from(["claims", "heartbeat", "plan", "outcome"]))
def test_no_word_of_a_hive_breaks_the_queen(api: Api, body: Any, kind: str) -> None:
    hive = getattr(api, "joined", None) or api.join()
    api.joined = hive  # type: ignore[attr-defined]
    method, path = {
        "claims": ("POST", f"/v1/hives/{hive.id}/claims"),
        "heartbeat": ("POST", f"/v1/hives/{hive.id}/heartbeat"),
        "plan": ("PUT", "/v1/jobs/job-1/attempts/1/plan"),
        "outcome": ("PUT", "/v1/jobs/job-1/attempts/99999999999999999999"),
    }[kind]

    answer = api.ask(method, path, token=hive.token, data=json.dumps(body))

    assert answer.status_code in {200, 400, 404, 409}, answer.json


# The description.


def test_the_description_covers_every_route_of_the_api(api: Api) -> None:
    described = api.get("/openapi.json", token=None).json

    routes = {
        (rule.rule, method.lower())
        for rule in api.app.url_map.iter_rules()
        if rule.rule.startswith("/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    import re

    documented = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert {(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule), method) for rule, method in routes} <= documented
    identifiers = [op["operationId"] for methods in described["paths"].values() for op in methods.values()]
    assert len(identifiers) == len(set(identifiers))
    assert described["openapi"] == "3.1.0"
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["responses"]
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
    assert set(OPERATIONS) <= set(described["components"]["schemas"])


def test_every_reference_of_the_description_leads_somewhere(api: Api) -> None:
    described = api.get("/openapi.json", token=None).json

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for item in value.values() for ref in references(item)]
        return [ref for item in value for ref in references(item)] if isinstance(value, list) else []

    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]


def test_health_and_metrics(api: Api) -> None:
    api.join()

    assert api.get("/health", token=None).json == {"status": "ok"}
    text = api.get("/metrics").get_data(as_text=True)
    assert 'rbee_jobs{state="queued"} 0.0' in text
    assert 'rbee_hives{presence="offline"} 1.0' in text
