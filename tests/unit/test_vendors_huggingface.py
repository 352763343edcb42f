"""The Hugging Face vendor: the real client library against a hub on loopback."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hive.stop import Reason, Stop, Stopped
from hive.vendors.huggingface import HuggingFaceVendor
from hive.vendors.pace import Pace
from shared.errors import JobFailed
from shared.narration import Line, Said
from shared.plan import Plan
from tests.hubs.huggingface import HuggingFaceHub

SWIFT = Pace(attempts=3, first=0.001)
WEIGHTS = b"GGUF" + bytes(4000)
TINY = {
    "README.md": b"# Tiny",
    "config.json": b"{}",
    "tiny.Q2_K.gguf": WEIGHTS,
    "tiny.Q4_K_M.gguf": WEIGHTS + b"4",
    "tiny.Q8_0.gguf": WEIGHTS + b"88",
}


@pytest.fixture
def hub() -> Iterator[HuggingFaceHub]:
    with HuggingFaceHub() as hub:
        hub.add("acme/tiny-GGUF", TINY)
        hub.add("acme/gated", TINY, gated="auto")
        hub.add("acme/secret", TINY, private=True)
        hub.tokens = {"hf_accepted": {"acme/gated", "acme/secret"}, "hf_stranger": set()}
        yield hub


def plan(
    hub: HuggingFaceHub, model: str, revision: str | None = None, token: str | None = None, **more: Any
) -> tuple[Plan, list[Said]]:
    vendor = HuggingFaceVendor(hub.url, SWIFT)
    talk = vendor.plan(
        model, revision, secrets={"HF_TOKEN": token} if token else {}, stop=more.get("stop") or Stop()
    )
    said = []
    while True:
        try:
            said.append(next(talk))
        except StopIteration as end:
            return end.value, said


def failure(
    hub: HuggingFaceHub, model: str, revision: str | None = None, token: str | None = None
) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        plan(hub, model, revision, token)
    return caught.value


def test_a_plan_is_pinned_to_the_commit_with_sizes_and_hashes(hub: HuggingFaceHub) -> None:
    commit = hub.repos["acme/tiny-GGUF"].revisions["main"]

    made, _ = plan(hub, "acme/tiny-GGUF")

    [file] = made.files
    assert (made.revision, made.quantization, made.license) == (commit, "Q4_K_M", "apache-2.0")
    assert (file.path, file.size) == ("tiny.Q4_K_M.gguf", len(WEIGHTS) + 1)
    assert file.sha256 == hashlib.sha256(WEIGHTS + b"4").hexdigest()
    assert file.url == f"{hub.url}/acme/tiny-GGUF/resolve/{commit}/tiny.Q4_K_M.gguf"


def test_a_revision_may_be_a_branch_or_a_commit(hub: HuggingFaceHub) -> None:
    repo = hub.repos["acme/tiny-GGUF"]
    first = repo.revisions["main"]
    second = repo.commit(TINY | {"tiny.Q4_K_M.gguf": WEIGHTS + b"new"}, "refs/pr/1")

    assert plan(hub, "acme/tiny-GGUF", "refs/pr/1")[0].revision == second
    assert plan(hub, "acme/tiny-GGUF", first)[0].revision == first


def test_a_listing_of_several_pages_is_read_to_its_end(hub: HuggingFaceHub) -> None:
    hub.page = 2

    made, _ = plan(hub, "acme/tiny-GGUF:tiny.Q8_0.gguf")

    assert made.files[0].path == "tiny.Q8_0.gguf"


def test_a_path_with_odd_signs_is_quoted_in_its_address(hub: HuggingFaceHub) -> None:
    hub.add("acme/odd", {"Q8_0/mo del#1%.gguf": WEIGHTS})

    made, _ = plan(hub, "acme/odd")

    assert made.files[0].url.endswith("/Q8_0/mo%20del%231%25.gguf")


def test_nothing_is_sent_without_a_token_and_nothing_implicit(hub: HuggingFaceHub) -> None:
    plan(hub, "acme/tiny-GGUF")

    assert not any("Authorization" in request.headers for request in hub.requests)
    assert set(hub.counts()) == {
        "GET /api/models/acme/tiny-GGUF",
        f"GET /api/models/acme/tiny-GGUF/tree/{hub.repos['acme/tiny-GGUF'].revisions['main']}",
    }


def test_a_private_repository_opens_to_its_token(hub: HuggingFaceHub) -> None:
    made, _ = plan(hub, "acme/secret", token="hf_accepted")

    assert made.quantization == "Q4_K_M"
    assert HuggingFaceVendor(hub.url).headers({"HF_TOKEN": "hf_accepted"}) == {
        "Authorization": "Bearer hf_accepted"
    }


def test_a_plan_holds_no_secret(hub: HuggingFaceHub) -> None:
    made, said = plan(hub, "acme/secret", token="hf_accepted")

    assert "hf_accepted" not in made.model_dump_json() + repr(said)


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_a_gated_repository_names_the_page_where_its_terms_are(
    hub: HuggingFaceHub, token: str | None
) -> None:
    error = failure(hub, "acme/gated", token=token)

    assert error.code == "gated"
    assert f"{hub.url}/acme/gated" in (error.hint or "")


def test_a_gated_repository_opens_after_its_terms_are_accepted(hub: HuggingFaceHub) -> None:
    assert plan(hub, "acme/gated", token="hf_accepted")[0].files


@pytest.mark.parametrize(
    ("model", "revision", "token", "code"),
    [
        ("acme/nothing", None, None, "repository_not_found"),
        ("acme/nothing", None, "hf_stranger", "repository_not_found"),
        ("acme/secret", None, None, "repository_not_found"),
        ("acme/secret", None, "hf_stranger", "repository_not_found"),
        ("acme/tiny-GGUF", None, "hf_wrong", "unauthorized"),
        ("acme/tiny-GGUF", None, "hf_with\nline", "unauthorized"),
        ("acme/tiny-GGUF", "v9", None, "revision_not_found"),
        ("acme/tiny-GGUF:tiny.Q9.gguf", None, None, "file_not_found"),
        ("acme/a--b", None, None, "invalid_model"),
    ],
)
def test_a_refusal_is_one_sentence_with_what_to_do(
    hub: HuggingFaceHub, model: str, revision: str | None, token: str | None, code: str
) -> None:
    error = failure(hub, model, revision, token)

    assert error.code == code
    assert error.message.endswith(".") and error.hint
    assert "\n" not in error.message


def test_a_disabled_repository_is_told_apart(hub: HuggingFaceHub) -> None:
    hub.add("acme/disabled", TINY, disabled=True)

    assert failure(hub, "acme/disabled").code == "repository_disabled"


def test_a_passing_fault_is_told_and_survived(hub: HuggingFaceHub) -> None:
    hub.misbehave("/api/models", times=1, status=503)
    hub.misbehave("/tree/", times=1, status=429, headers={"Retry-After": "0"})

    made, said = plan(hub, "acme/tiny-GGUF")

    told = [line.text for line in said if isinstance(line, Line)]
    assert made.files
    assert any("answers 503" in line and "attempt 2 of 3" in line for line in told)
    assert any("answers 429" in line for line in told)


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limited"), (503, "hub_unreachable"), (500, "hub_unreachable")]
)
def test_a_lasting_fault_ends_after_bounded_attempts(hub: HuggingFaceHub, status: int, code: str) -> None:
    hub.misbehave("/tree/", status=status)

    assert failure(hub, "acme/tiny-GGUF").code == code
    assert sum(number for path, number in hub.counts().items() if "/tree/" in path) == SWIFT.attempts


def test_an_answer_that_breaks_off_is_asked_for_again(hub: HuggingFaceHub) -> None:
    hub.misbehave(
        "/api/models", times=1, status=200, headers={"Content-Length": "500"}, body=b"{", leave=True
    )

    made, said = plan(hub, "acme/tiny-GGUF")

    assert made.files
    assert any("broke the connection" in line.text for line in said if isinstance(line, Line))


def test_a_log_in_page_instead_of_the_hub_is_recognised(hub: HuggingFaceHub) -> None:
    hub.misbehave("/api/models", body=b"<!doctype html><title>Wi-Fi</title>")

    assert failure(hub, "acme/tiny-GGUF").code == "hub_unreadable"


def test_json_that_is_not_the_hubs_is_recognised(hub: HuggingFaceHub) -> None:
    hub.misbehave("/tree/", body=b'[{"type": "file", "path": "x.gguf"}]')

    assert failure(hub, "acme/tiny-GGUF").code == "hub_unreadable"


def test_a_path_that_climbs_out_is_refused(hub: HuggingFaceHub) -> None:
    hub.add("acme/evil", {"../../evil.gguf": WEIGHTS})

    assert failure(hub, "acme/evil").code == "hub_unreadable"


def test_a_redirect_away_from_the_hub_is_refused_and_shows_no_token(hub: HuggingFaceHub) -> None:
    with HuggingFaceHub() as other:
        hub.misbehave(
            "/api/models", status=307, headers={"Location": f"{other.url}/api/models/acme/tiny-GGUF"}
        )

        error = failure(hub, "acme/tiny-GGUF", token="hf_accepted")

        assert error.code == "hub_redirected"
        assert other.requests == []


def test_a_renamed_repository_is_followed_on_the_hub(hub: HuggingFaceHub) -> None:
    hub.misbehave("/api/models/acme/old$", status=307, headers={"Location": "/api/models/acme/tiny-GGUF"})
    hub.repos["acme/old"] = hub.repos["acme/tiny-GGUF"]

    assert plan(hub, "acme/old")[0].quantization == "Q4_K_M"


def test_a_hub_that_is_not_there_is_unreachable() -> None:
    with HuggingFaceHub() as hub:
        pass

    assert failure(hub, "acme/tiny-GGUF").code == "hub_unreachable"


def test_offline_mode_is_told(hub: HuggingFaceHub) -> None:
    script = (
        "import sys; from hive.stop import Stop; from hive.vendors.huggingface import HuggingFaceVendor as V\n"
        "try: list(V(sys.argv[1]).plan('acme/tiny-GGUF', None, secrets={}, stop=Stop()))\n"
        "except Exception as error: print(error.code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, hub.url],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "offline"
    assert hub.requests == []


def test_a_stop_does_not_wait_for_a_silent_hub(hub: HuggingFaceHub) -> None:
    hub.misbehave("/tree/", hang=True)
    stop = Stop()
    threading.Thread(target=_stop_when_asked, args=(hub, "/tree/", stop)).start()

    started = time.monotonic()
    with pytest.raises(Stopped):
        plan(hub, "acme/tiny-GGUF", stop=stop)

    assert time.monotonic() - started < 2


def test_a_stop_interrupts_the_wait_between_attempts(hub: HuggingFaceHub) -> None:
    hub.misbehave("/api/models", status=429, headers={"Retry-After": "60"})
    stop = Stop()
    threading.Thread(target=_stop_when_asked, args=(hub, "/api/models", stop)).start()

    with pytest.raises(Stopped):
        plan(hub, "acme/tiny-GGUF", stop=stop)


def _stop_when_asked(hub: HuggingFaceHub, path: str, stop: Stop) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not any(path in request.path for request in list(hub.requests)):
        threading.Event().wait(0.01)
    stop.set(Reason.CANCEL)
