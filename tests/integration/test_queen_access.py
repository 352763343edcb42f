"""Who may do what: tokens, scopes, hosts, origins, floods; joining and leaving."""

import json
import time
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from queen import broker_acl, guard, joining
from queen.guard import OPEN
from queen.principals import Scope
from queen.rows import Hive, Job, JoinToken
from shared.ids import new_boot_id, new_claim_id
from shared.protocol import JoinAnswer
from shared.timing import PROTOCOL
from tests.fleet import facts
from tests.integration.conftest import Api, b64decode_unpadded

SCOPES = [Scope.ADMIN, Scope.OPERATE, Scope.INFERENCE, Scope.HIVE]
MAY = {
    Scope.ADMIN: {Scope.ADMIN, Scope.OPERATE, Scope.INFERENCE},
    Scope.OPERATE: {Scope.OPERATE},
    Scope.INFERENCE: {Scope.INFERENCE},
    Scope.HIVE: {Scope.HIVE},
}
OPEN_TO_ALL = {
    "hives.join",
    "system.health",
    "system.openapi",
    "static_files.show",
    "static_files.favicon",
    "login_pages.show",
    "login_pages.log_in",
}


def routes(api: Api) -> list[tuple[str, str, Scope | str]]:
    """Method, an address, and the scope of every route there is."""
    found = []
    for rule in api.app.url_map.iter_rules():
        scope = getattr(api.app.view_functions[rule.endpoint], "rbee_scope", Scope.ADMIN)
        values = dict.fromkeys(rule.arguments, "1")
        with api.app.test_request_context():
            from flask import url_for

            path = url_for(rule.endpoint, **values)
        found += [(method, path, scope) for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}]
    return found


def key(api: Api, *scopes: str) -> str:
    token: str = api.post("/v1/keys", {"name": "k", "scopes": list(scopes)}).json["token"]
    return token


def test_nothing_but_what_is_open_answers_a_stranger(api: Api) -> None:
    api.app.extensions["rbee.limits"].spend = lambda *_: None

    for method, path, scope in routes(api):
        for token in (None, "rbee_key_wrong"):
            status = api.ask(method, path, token=token).status_code
            if scope == OPEN:
                assert status not in {401, 403} or path in {"/login", "/v1/hives"}, path
            else:
                assert status in {401, 302, 303}, (method, path, status)


def test_what_is_open_is_listed_here(api: Api) -> None:
    is_open = {
        endpoint
        for endpoint, view in api.app.view_functions.items()
        if getattr(view, "rbee_scope", Scope.ADMIN) == OPEN
    }

    assert is_open == OPEN_TO_ALL


def test_every_scope_opens_its_own_doors_and_no_other(api: Api) -> None:
    tokens = {
        Scope.ADMIN: api.admin,
        Scope.OPERATE: key(api, "operate"),
        Scope.INFERENCE: key(api, "inference"),
        Scope.HIVE: api.join().token,
    }

    for method, path, scope in routes(api):
        if scope == OPEN or path.endswith(("/stream", "/events", "/live")):
            continue
        for holder in SCOPES:
            allowed = scope in MAY[holder]
            answer = api.ask(method, path, token=tokens[holder])
            refused = answer.status_code == 403 and b"not allowed" in answer.data
            assert refused != allowed, (holder, method, path, answer.status_code)


def test_an_inference_key_cannot_operate(api: Api) -> None:
    token = key(api, "inference")

    assert api.post("/v1/jobs", {}, token=token).status_code == 403
    assert api.get("/v1/events", token=token).status_code == 403
    assert api.get("/v1/hives", token=token).status_code == 403


def test_a_hive_speaks_for_itself_alone(api: Api) -> None:
    one, other = api.join("one"), api.join("other")
    boot = {"boot_id": new_boot_id(), "protocol": PROTOCOL}
    claim = {"claim_id": new_claim_id(), "boot_id": boot["boot_id"], "lanes": {"download": 1}}

    assert api.post(f"/v1/hives/{other.id}/heartbeat", boot, token=one.token).status_code == 403
    assert api.post(f"/v1/hives/{other.id}/claims", claim, token=one.token).status_code == 403
    assert (
        api.post(f"/v1/hives/{one.id}/heartbeat", {**boot, "first": True}, token=one.token).status_code == 200
    )
    assert api.post(f"/v1/hives/{one.id}/claims", claim, token=one.token).json == {"grants": []}
    assert api.post(f"/v1/hives/{one.id}/heartbeat", boot).status_code == 403, "an admin is no hive"


def claimed(api: Api, hive: JoinAnswer, **submitted: Any) -> Any:
    api.database.tell = lambda tales: None
    body = {"operation": "model_download", "model": "org/repo", "target": {"hive": hive.id}, **submitted}
    job_id = api.post("/v1/jobs", body).json["job_id"]
    claim = {"claim_id": new_claim_id(), "boot_id": new_boot_id(), "job_id": job_id, "attempt": 1}
    answer = api.post(f"/v1/hives/{hive.id}/claims", claim, token=hive.token)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_a_claim_is_handed_the_vendors_own_token_and_only_for_work_that_asks_the_vendor(api: Api) -> None:
    hive = api.join()
    for name in ("HF_TOKEN", "CIVITAI_API_TOKEN"):
        assert api.ask("PUT", f"/v1/secrets/{name}", json={"value": f"value-of-{name}"}).status_code == 204

    assert claimed(api, hive)["secrets"] == {"HF_TOKEN": "value-of-HF_TOKEN"}
    assert claimed(api, hive, model="https://h/m.gguf")["secrets"] == {}
    assert claimed(api, hive, model="org/other", operation="model_delete")["secrets"] == {}
    assert "value-of" not in api.get("/v1/secrets").get_data(as_text=True)
    with api.database.read() as session:
        from sqlmodel import select

        assert "value-of" not in str([job.model_dump() for job in session.exec(select(Job))])


def test_an_outcome_over_http(api: Api) -> None:
    hive, other = api.join("one"), api.join("other")
    grant = claimed(api, hive)
    path = f"/v1/jobs/{grant['job_id']}/attempts/1"
    report = {
        "claim_id": grant["claim_id"],
        "outcome": "failed",
        "last_seq": 0,
        "error": {"message": "No \x00.", "x": 1},
    }

    assert api.ask("PUT", path, json=report, token=other.token).status_code == 409
    assert (
        api.ask("PUT", f"/v1/jobs/{grant['job_id']}/attempts/2", json=report, token=hive.token).status_code
        == 409
    )
    assert api.ask("PUT", path, json=report, token=hive.token).json == {"state": "failed", "grants": []}
    assert api.ask("PUT", path, json=report, token=hive.token).json == {"state": "failed", "grants": []}
    assert api.get(f"/v1/jobs/{grant['job_id']}").json["error"] == {"code": "failed", "message": "No \ufffd."}


# Joining and leaving.


def join_body(api: Api) -> dict[str, Any]:
    text = api.post("/v1/join-tokens").json["token"]
    token = json.loads(b64decode_unpadded(text))["token"]
    return {"token": token, "name": "attic", "protocol": PROTOCOL, "facts": facts().model_dump(mode="json")}


def test_a_join_token_works_once(api: Api) -> None:
    body = join_body(api)

    assert api.post("/v1/hives", body, token=None).status_code == 201
    assert api.post("/v1/hives", body, token=None).status_code == 401
    assert api.count(Hive) == 1


def test_an_expired_or_revoked_join_token_works_never(api: Api) -> None:
    expired, revoked = join_body(api), join_body(api)
    with api.database.write() as tx:
        from sqlmodel import select

        for row in tx.session.exec(select(JoinToken)):
            row.expires_at = time.time() - 1
    fresh = api.post("/v1/join-tokens").json["id"]
    assert api.ask("DELETE", f"/v1/join-tokens/{fresh}").status_code == 204

    for body in (expired, revoked, {**expired, "token": ""}):
        assert api.post("/v1/hives", body, token=None).json["error"]["code"] == "join_token"
    assert api.count(Hive) == 0


def test_a_join_that_the_broker_did_not_take_may_be_tried_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = join_body(api)

    def refuse(*_: object) -> None:
        raise RedisError

    with monkeypatch.context() as patch:
        patch.setattr(broker_acl, "apply", refuse)
        first = api.post("/v1/hives", body, token=None)
    hives = api.count(Hive)
    second = api.post("/v1/hives", body, token=None)

    assert (first.status_code, first.headers["Retry-After"]) == (503, "2")
    assert hives == 0
    assert second.status_code == 201


def test_a_removed_hive_is_nobody_any_more(api: Api, redis: Redis) -> None:
    hive = api.join()
    grant = claimed(api, hive)
    user = broker_acl.hive_user(hive.id)
    assert user in _users(redis)

    assert api.ask("DELETE", f"/v1/hives/{hive.id}").status_code == 204

    assert user not in _users(redis)
    assert api.post(f"/v1/hives/{hive.id}/heartbeat", {}, token=hive.token).status_code == 401
    assert api.get(f"/v1/hives/{hive.id}").status_code == 404
    assert api.ask("DELETE", f"/v1/hives/{hive.id}").status_code == 404
    job = api.get(f"/v1/jobs/{grant['job_id']}").json
    assert (job["state"], job["error"]["code"]) == ("failed", "hive_removed")


def test_a_hive_removed_while_the_broker_was_away_loses_its_user_at_its_return(
    api: Api, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive, stays = api.join("goes"), api.join("stays")

    def refuse(*_: object) -> None:
        raise RedisError

    with monkeypatch.context() as patch:
        patch.setattr(broker_acl, "remove", refuse)
        assert api.ask("DELETE", f"/v1/hives/{hive.id}").status_code == 204
    assert broker_acl.hive_user(hive.id) in _users(redis)
    joining.allow_all_on_broker(api.database, redis, {})

    assert broker_acl.hive_user(hive.id) not in _users(redis)
    assert broker_acl.hive_user(stays.id) in _users(redis)


def test_a_hive_that_found_a_gpu_may_take_from_its_queue(api: Api, redis: Redis) -> None:
    hive = api.join()
    allowed = joining.allow_all_on_broker(api.database, redis, {})
    with api.database.write() as tx:
        row = tx.session.get(Hive, hive.id)
        assert row is not None
        row.facts = {**row.facts, "capabilities": ["cuda", "cpu"]}

    again = joining.allow_all_on_broker(api.database, redis, allowed)

    assert "~cuda" in redis.acl_getuser(broker_acl.hive_user(hive.id))["keys"]
    assert again != allowed
    assert joining.allow_all_on_broker(api.database, redis, again) == again


def _users(redis: Redis) -> set[str]:
    return {user.decode() if isinstance(user, bytes) else user for user in redis.acl_users()}


@pytest.mark.parametrize(
    "patch", [{"name": ""}, {"name": "<b>"}, {"labels": {"": "x"}}, {"labels": {"a": "x" * 300}}, {"x": 1}]
)
def test_a_hive_is_not_renamed_to_nonsense(api: Api, patch: dict[str, Any]) -> None:
    hive = api.join()

    assert api.ask("PATCH", f"/v1/hives/{hive.id}", json=patch).status_code == 400
    changed = api.ask("PATCH", f"/v1/hives/{hive.id}", json={"name": "loft", "labels": {"room": "3"}}).json
    assert (changed["name"], changed["labels"]) == ("loft", {"room": "3"})


# Keys.


def test_a_revoked_key_is_a_strangers(api: Api) -> None:
    made = api.post("/v1/keys", {"name": "ci", "scopes": ["operate"]}).json
    assert api.get("/v1/hives", token=made["token"]).status_code == 200

    api.ask("DELETE", f"/v1/keys/{made['id']}")

    assert api.get("/v1/hives", token=made["token"]).status_code == 401
    assert made["token"] not in api.get("/v1/keys").get_data(as_text=True)


def test_the_admins_token_file_is_his_alone(api: Api) -> None:
    path = api.services.settings.queen_dir / "admin.token"

    assert path.stat().st_mode & 0o777 == 0o600


# Hosts, origins, floods.


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a b"]
)
def test_another_host_name_is_refused(api: Api, host: str) -> None:
    assert api.get("/v1/hives", headers={"Host": host}).status_code in {400, 403}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7835", "127.0.0.1:7835", "[::1]:7835", "192.168.1.7"]
)
def test_our_own_names_and_addresses_are_not(api: Api, host: str) -> None:
    assert api.get("/v1/hives", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://[", "http://localhost.evil.example", "ftp://localhost"],
)
def test_a_request_from_another_site_is_refused(api: Api, origin: str) -> None:
    answer = api.post("/v1/jobs", {}, headers={"Origin": origin})

    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "origin"


def test_a_session_needs_its_origin_for_whatever_changes_something(api: Api) -> None:
    with api.database.write() as tx:
        from queen.principals import new_login_token

        link = new_login_token(tx)
    client = api.app.test_client()
    client.set_cookie(f"rbee_session_{api.services.settings.port}", api.services.principals.log_in(link))

    assert client.get("/v1/hives").status_code == 200
    assert client.post("/v1/join-tokens").status_code == 403
    assert client.post("/v1/join-tokens", headers={"Origin": "http://localhost"}).status_code == 201
    assert client.post("/v1/join-tokens", headers={"Origin": "http://evil"}).status_code == 403


def test_a_login_link_works_once(api: Api) -> None:
    from shared.errors import Unauthorized

    url = api.post("/v1/login-tokens").json["url"]
    token = url.partition("token=")[2]

    assert api.services.principals.log_in(token)
    with pytest.raises(Unauthorized):
        api.services.principals.log_in(token)


def test_a_flood_is_slowed_down_and_hives_are_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BURST", 5.0)
    monkeypatch.setattr(guard, "RATE", 1.0)
    hive = api.join()
    beat = {"boot_id": new_boot_id(), "protocol": PROTOCOL, "first": True}

    answers = [api.get("/v1/jobs") for _ in range(12)]
    beats = [api.post(f"/v1/hives/{hive.id}/heartbeat", beat, token=hive.token) for _ in range(12)]

    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].json["error"]["code"] == "too_many_requests"
    assert {beat.status_code for beat in beats} == {200}


def test_a_stranger_who_guesses_is_slowed_down_and_nobody_else(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "STRANGER_BURST", 5.0)
    monkeypatch.setattr(guard, "STRANGER_RATE", 0.1)
    guesses = [api.get("/v1/hives", token=f"guess-{n}").status_code for n in range(10)]
    joins = [api.post("/v1/hives", {}, token=None).status_code for _ in range(3)]

    assert guesses[0] == 401
    assert guesses[-1] == 429
    assert joins[-1] == 429
    assert api.get("/v1/hives").status_code == 200


def test_every_answer_is_hardened(api: Api) -> None:
    for answer in (api.get("/v1/hives"), api.get("/v1/hives", token=None), api.get("/nothing")):
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unforeseen_error_tells_no_internals(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from queen import hives

    def fall(*_: object) -> None:
        raise RuntimeError("/secret/path and a token")

    monkeypatch.setattr(hives, "fleet_view", fall)
    answer = api.get("/v1/hives")

    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "internal"
    assert "secret" not in answer.get_data(as_text=True)
