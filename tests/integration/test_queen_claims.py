"""Who gets a job: exactly one claimant, and only one that may have it."""

from typing import Any

import pytest

from queen.rows import Job
from queen.vault import Vault
from shared.errors import Conflict
from shared.ids import new_boot_id, new_claim_id
from shared.states import JobState
from tests.fleet import GIB, Fleet, at_once, random_model


def test_a_claim_runs_the_job_and_carries_all_it_needs(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id = fleet.submit("hf:org/repo", hive=hive)

    grant = fleet.claim(hive, job_id)

    job = fleet.job(job_id)
    assert (job.state, job.hive_id, job.attempt) == (JobState.RUNNING, hive, 1)
    assert job.lease_expires_at is not None
    assert (grant.operation, grant.params) == ("model_download", {"model": "org/repo"})


def test_the_same_claim_again_gets_the_same_answer(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id, claim_id = fleet.submit(hive=hive), new_claim_id()

    first = fleet.claim(hive, job_id, claim_id)
    second = fleet.claim(hive, job_id, claim_id)

    assert first == second
    assert fleet.job(job_id).attempt == 1


def test_the_same_claim_of_lanes_again_gets_the_same_jobs_and_no_more(fleet: Fleet) -> None:
    hive = fleet.hive()
    for _ in range(4):
        fleet.submit(random_model(), hive=hive)
    claim_id = new_claim_id()

    first = fleet.claim_lanes(hive, claim_id, download=2)
    second = fleet.claim_lanes(hive, claim_id, download=2)

    assert {grant.job_id for grant in first} == {grant.job_id for grant in second}
    assert len(second) == 2


def test_of_many_claimants_exactly_one_wins(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(4)]
    for _ in range(4):
        job_id = fleet.submit(random_model())
        fleet.change(job_id, hive_id=None)

        results = at_once(*[lambda h=h, j=job_id: fleet.claim(h, j) for h in hives])

        won = [result for result in results if not isinstance(result, Exception)]
        assert len(won) == 1, results
        assert all(isinstance(result, Conflict) for result in results if isinstance(result, Exception))
        assert fleet.job(job_id).claim_id == won[0].claim_id


def test_claims_of_lanes_at_once_share_the_work_without_doubling_it(fleet: Fleet) -> None:
    hives = [fleet.hive(f"h{n}") for n in range(4)]
    for _ in range(12):
        fleet.change(fleet.submit(random_model()), hive_id=None)

    results = at_once(*[lambda h=h: fleet.claim_lanes(h, download=4, other=4) for h in hives])

    assert not [result for result in results if isinstance(result, Exception)], results
    granted = [grant.job_id for grants in results for grant in grants]
    assert len(granted) == len(set(granted))


def test_an_identical_submission_at_the_same_moment_is_one_job(fleet: Fleet) -> None:
    fleet.hive()

    results = at_once(*[fleet.submit for _ in range(5)])

    assert len(set(results)) == 1
    assert fleet.count(Job) == 1


@pytest.mark.parametrize(
    ("facts", "target", "code"),
    [
        ({"capabilities": ["cuda"]}, {"capability": "cpu"}, "filter_capability"),
        ({"operations": ["model_delete"]}, {"capability": "cpu"}, "filter_operations"),
        ({"protocol": 99}, {"capability": "cpu"}, "filter_protocol"),
        ({"disk_free": GIB}, {"capability": "cpu"}, "filter_disk"),
    ],
)
def test_a_hive_that_does_not_fit_is_refused_with_the_filter(
    fleet: Fleet, facts: dict[str, Any], target: dict[str, Any], code: str
) -> None:
    hive = fleet.hive(**facts)
    job_id = fleet.submit(**target)
    fleet.change(job_id, hive_id=None, size=10 * GIB)

    with pytest.raises(Conflict) as refused:
        fleet.claim(hive, job_id)

    assert refused.value.code == code
    assert fleet.job(job_id).state == JobState.QUEUED
    assert fleet.claim_lanes(hive, download=4) == []


def test_a_job_of_another_hive_is_refused(fleet: Fleet) -> None:
    hive, other = fleet.hive(), fleet.hive("cellar")
    job_id = fleet.submit(hive=hive)

    with pytest.raises(Conflict) as refused:
        fleet.claim(other, job_id)

    assert refused.value.code == "placed_elsewhere"
    assert fleet.claim_lanes(other, download=4) == []


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_job_that_was_stopped_is_refused(fleet: Fleet, wish: str, state: str) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    getattr(fleet, wish)(job_id)

    with pytest.raises(Conflict, match=state):
        fleet.claim(hive, job_id)


def test_an_old_message_is_refused(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    fleet.claim(hive, job_id)
    fleet.lose(job_id)

    with pytest.raises(Conflict) as refused:
        fleet.claim(hive, job_id, attempt=1)

    assert refused.value.code == "not_claimable"


def test_a_second_process_with_the_identity_is_refused(fleet: Fleet) -> None:
    hive = fleet.hive()
    job_id = fleet.submit(hive=hive)
    fleet.boots[hive] = new_boot_id()

    with pytest.raises(Conflict) as refused:
        fleet.claim(hive, job_id)

    assert refused.value.code == "identity_in_use"


def test_lanes_take_the_oldest_that_fit(fleet: Fleet) -> None:
    hive = fleet.hive(disk_free=5 * GIB)
    too_large = fleet.submit("org/large", hive=hive)
    fleet.change(too_large, size=50 * GIB)
    small = [fleet.submit(f"org/small-{n}", hive=hive) for n in range(3)]
    fleet.submit("org/other", operation="model_verify", hive=hive)

    granted = fleet.claim_lanes(hive, download=2)

    assert [grant.job_id for grant in granted] == small[:2]


def test_a_writer_waits_for_everybody_and_readers_share(fleet: Fleet) -> None:
    hive = fleet.hive()
    reader, another = (
        fleet.submit(operation="model_verify", hive=hive),
        fleet.submit(operation="model_verify", capability="cpu"),
    )
    writer = fleet.submit(operation="model_delete", hive=hive)

    first, second = fleet.claim(hive, reader), fleet.claim(hive, another)
    with pytest.raises(Conflict) as refused:
        fleet.claim(hive, writer)
    fleet.finish(hive, first)
    fleet.finish(hive, second)
    last = fleet.claim(hive, writer)

    assert refused.value.code == "resource_busy"
    assert last.job_id == writer
    assert fleet.claim(hive, fleet.submit("org/unrelated", hive=hive))
    with pytest.raises(Conflict):
        fleet.claim(hive, fleet.submit(hive=hive))


def test_lanes_never_grant_two_writers_of_one_thing(fleet: Fleet) -> None:
    hive = fleet.hive()
    fleet.submit(hive=hive)
    fleet.submit(capability="cpu")

    assert len(fleet.claim_lanes(hive, download=4)) == 1


# The vault.


def test_a_secret_is_encrypted_at_rest_and_reaches_only_its_vendor(fleet: Fleet, tmp_path: Any) -> None:
    from queen.rows import Secret

    vault = Vault(tmp_path / "secret.key", {"CIVITAI_API_TOKEN": "from-the-environment"})
    fleet.do(lambda tx: vault.put(tx, "HF_TOKEN", "hf_very_secret_words"))

    with fleet.database.read() as session:
        row = session.get(Secret, "HF_TOKEN")
        assert row is not None
        stored = bytes(row.ciphertext)
        given = {model: vault.for_model(session, model) for model in MODELS}
        described = str(vault.describe(session))

    assert b"secret_words" not in stored
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert given == MODELS
    assert "secret_words" not in described


MODELS: dict[str, dict[str, str]] = {
    "org/repo": {"HF_TOKEN": "hf_very_secret_words"},
    "org/repo:a.gguf": {"HF_TOKEN": "hf_very_secret_words"},
    "civitai:123": {"CIVITAI_API_TOKEN": "from-the-environment"},
    "https://evil.example/org/repo": {},
    "file:///models/org/repo": {},
    "github:owner/repo@v1:asset": {},
}
