"""Models from a Hugging Face hub, with the real client library, through the real processes."""

import hashlib
import os
from collections.abc import Iterator

import pytest

from tests.hubs.huggingface import HuggingFaceHub
from tests.stack import Stack, assert_told_once

TOKEN = "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
SMALL = b"GGUF" + os.urandom(300_000)


@pytest.fixture(scope="module")
def hub() -> Iterator[HuggingFaceHub]:
    with HuggingFaceHub() as server:
        server.add(
            "org/model",
            {
                "README.md": b"# A model",
                "model.Q8_0.gguf": b"GGUF" + os.urandom(400_000),
                "model.Q4_K_M.gguf": SMALL,
                "imatrix.gguf": b"GGUF" + os.urandom(1000),
            },
        )
        server.add(
            "org/sharded", {f"Q4_0/m-{n:05d}-of-00003.gguf": b"GGUF" + os.urandom(200_000) for n in (1, 2, 3)}
        )
        server.add("org/unquantised", {"config.json": b"{}", "model.safetensors": os.urandom(5000)})
        server.add("org/gated", {"g.Q4_K_M.gguf": SMALL}, gated="manual")
        server.add("org/broken", {"b.Q4_K_M.gguf": SMALL})
        server.tokens[TOKEN] = {"org/gated"}
        yield server


@pytest.fixture(scope="module")
def stack(hub: HuggingFaceHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("hf"), HF_ENDPOINT=hub.url) as running:
        yield running


def test_a_repository_brings_its_preferred_quantisation_verified(stack: Stack, hub: HuggingFaceHub) -> None:
    job = stack.wait_state(stack.submit("model_download", model="hf:org/model"), "completed", "failed")

    assert job["state"] == "completed", job["error"]
    assert [file["path"] for file in job["result"]["files"]] == ["model.Q4_K_M.gguf"]
    assert job["result"]["files"][0]["sha256"] == hashlib.sha256(SMALL).hexdigest()
    assert job["params"]["model"] == "org/model"
    artifact = stack.artifact("org/model")
    assert artifact is not None
    assert (artifact["status"], artifact["quantization"], artifact["vendor"]) == (
        "available",
        "Q4_K_M",
        "huggingface",
    )
    assert artifact["revision"] == hub.repos["org/model"].revisions["main"]
    assert_told_once(stack, job["id"])


def test_shards_are_one_model(stack: Stack) -> None:
    job = stack.wait_state(stack.submit("model_download", model="org/sharded"), "completed", "failed")

    assert job["state"] == "completed", job["error"]
    assert len(job["result"]["files"]) == 3


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("org/nothing", "repository_not_found", "org/nothing"),
        ("org/model:absent.gguf", "file_not_found", "absent.gguf"),
        ("org/unquantised", "no_gguf", "safetensors"),
        ("org/gated", "gated", "org/gated"),
    ],
)
def test_what_cannot_be_had_fails_in_a_sentence_that_says_what_to_do(
    stack: Stack, model: str, code: str, says: str
) -> None:
    job = stack.wait_state(stack.submit("model_download", model=model), "completed", "failed")

    assert job["state"] == "failed"
    assert job["error"]["code"] == code
    assert says in job["error"]["message"] + job["error"].get("hint", "")
    assert job["error"]["hint"]
    assert stack.artifact(model) is None or stack.artifact(model)["status"] != "available"  # type: ignore[index]
    assert_told_once(stack, job["id"])


def test_a_stored_token_opens_a_gated_model_and_is_never_shown(stack: Stack, hub: HuggingFaceHub) -> None:
    stack.request("PUT", "/v1/secrets/HF_TOKEN", json={"value": TOKEN})
    job = stack.wait_state(stack.submit("model_download", model="org/gated"), "completed", "failed")
    stack.request("DELETE", "/v1/secrets/HF_TOKEN")

    log = stack.request("GET", f"/v1/jobs/{job['id']}/log").text
    assert job["state"] == "completed", job["error"]
    assert TOKEN not in log + str(job) + str(stack.get("/v1/secrets"))
    assert stack.program is not None
    assert TOKEN not in "\n".join(stack.program.lines)
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in stack.data_dir.rglob("*.sqlite3*"))
    asked = [request for request in hub.requests if "Authorization" in request.headers]
    assert asked
    assert not [request for request in asked if request.cdn]


def test_wrong_bytes_of_the_right_length_are_never_available(stack: Stack, hub: HuggingFaceHub) -> None:
    hub.misbehave(r"/org/broken/resolve|.*b\.Q4_K_M", corrupt=True)

    job = stack.wait_state(stack.submit("model_download", model="org/broken"), "completed", "failed")

    assert job["error"]["code"] == "checksum_mismatch"
    artifact = stack.artifact("org/broken")
    assert artifact is None or artifact["status"] == "failed"
    assert job["progress"] is None or job["progress"]["done"] < job["progress"]["total"]
