"""The catalog of models: what is written survives, what a crash leaves is repaired."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from hive.artifacts import Artifact, ArtifactCatalog, ArtifactStatus
from hive.catalog import INTERRUPTED, ModelCatalog
from hive.model_entry import Llm, ModelEntry, ModelFile, available_entry, downloading_entry
from shared.errors import Conflict, NotFound
from shared.ids import safe_id
from shared.plan import Plan, PlannedFile

MODEL = "acme/tiny-GGUF:tiny.Q4_K_M.gguf"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "hive")


def entry_of(content: bytes = b"weights", model: str = MODEL, revision: str = "a" * 40) -> ModelEntry:
    file = ModelFile(path="tiny.Q4_K_M.gguf", size=len(content), sha256=sha256(content).hexdigest())
    plan = Plan(
        vendor="huggingface",
        model=model,
        revision=revision,
        quantization="Q4_K_M",
        files=[PlannedFile(path=file.path, url="https://hub/x", size=file.size, sha256=file.sha256)],
    )
    return available_entry(plan, [file], NOW, Llm(architecture="llama", context_length=4096))


def fetched(catalog: ModelCatalog, entry: ModelEntry, content: bytes = b"weights") -> ModelEntry:
    """The entry, with its file lying in the partial folder as after a download."""
    files = catalog.begin(entry.model_copy(update={"status": ArtifactStatus.downloading()}))
    (files / entry.path).write_bytes(content)
    return entry


def published(catalog: ModelCatalog, content: bytes = b"weights", **fields: str) -> ModelEntry:
    entry = fetched(catalog, entry_of(content, **fields), content)
    catalog.publish(entry)
    return entry


def again(catalog: ModelCatalog) -> ModelCatalog:
    """The same folders after a restart."""
    started = ModelCatalog(catalog.models.parent)
    started.repair()
    return started


def test_the_catalog_has_the_shape_of_every_artifact_catalog(catalog: ModelCatalog) -> None:
    artifact: Artifact = entry_of()
    kept: ArtifactCatalog[ModelEntry] = catalog

    assert artifact.id == MODEL
    assert len(kept) == 0


def test_a_published_model_is_there_after_a_restart(catalog: ModelCatalog) -> None:
    entry = published(catalog)

    started = again(catalog)

    assert started.get(MODEL) == entry
    assert started.main_path(entry).read_bytes() == b"weights"
    assert started.problems == []


def test_the_folder_of_a_model_is_its_percent_encoded_id(catalog: ModelCatalog) -> None:
    published(catalog)

    assert [path.name for path in catalog.models.iterdir()] == ["acme%2Ftiny-GGUF%3Atiny.Q4_K_M.gguf"]


def test_ids_that_a_dash_would_merge_stay_apart(catalog: ModelCatalog) -> None:
    published(catalog, model="a/b-c")
    published(catalog, model="a-b/c")

    assert [entry.id for entry in again(catalog).list()] == ["a-b/c", "a/b-c"]


def test_an_id_longer_than_a_file_name_may_be_has_a_folder_of_its_own(catalog: ModelCatalog) -> None:
    long = ["https://host/" + "x" * 900 + ending for ending in ("/a.gguf", "/b.gguf")]

    for model in long:
        published(catalog, model=model)

    assert [entry.id for entry in again(catalog).list()] == long


def test_the_inventory_tells_no_path_of_this_machine(catalog: ModelCatalog) -> None:
    published(catalog)

    [told] = catalog.inventory()

    assert str(catalog.models) not in json.dumps(told)
    assert told == {
        "id": MODEL,
        "kind": "model",
        "name": "tiny-GGUF",
        "status": "available",
        "size": 7,
        "vendor": "huggingface",
        "revision": "a" * 40,
        "quantization": "Q4_K_M",
        "checksum": sha256(b"weights").hexdigest(),
        "model_type": {"kind": "llm", "architecture": "llama", "context_length": 4096},
        "files": [{"path": "tiny.Q4_K_M.gguf", "size": 7, "sha256": sha256(b"weights").hexdigest()}],
        "added_at": "2026-01-02T00:00:00Z",
        "verified_at": "2026-01-02T00:00:00Z",
    }


def test_the_version_grows_with_every_change_and_only_then(catalog: ModelCatalog) -> None:
    versions = [catalog.version]
    for step in (
        partial(published, catalog),
        partial(catalog.update, entry_of().model_copy(update={"license": "mit"})),
        partial(catalog.remove, MODEL),
    ):
        step()
        versions.append(catalog.version)

    catalog.refresh()
    catalog.inventory()

    assert versions == sorted(set(versions))
    assert catalog.version == versions[-1]


def test_a_download_is_listed_while_it_runs(catalog: ModelCatalog) -> None:
    fetched(catalog, entry_of())

    assert catalog.inventory()[0]["status"] == "downloading"
    assert catalog.available(MODEL) is None


def test_an_older_revision_stays_available_until_the_new_one_takes_its_place(catalog: ModelCatalog) -> None:
    published(catalog, b"old")

    new = fetched(catalog, entry_of(b"newer", revision="b" * 40), b"newer")
    before = catalog.get(MODEL)
    catalog.publish(new)

    assert before.status.state == "available" and before.revision == "a" * 40
    assert catalog.get(MODEL).revision == "b" * 40
    assert catalog.main_path(new).read_bytes() == b"newer"
    assert len(list(catalog.models.iterdir())) == 1


def test_a_failed_update_loses_nothing(catalog: ModelCatalog) -> None:
    published(catalog, b"old")
    fetched(catalog, entry_of(b"newer", revision="b" * 40), b"newer")

    catalog.fail(MODEL, "The hub is gone.")

    assert again(catalog).get(MODEL).status.state == "available"


def test_a_failed_download_says_why(catalog: ModelCatalog) -> None:
    fetched(catalog, entry_of())

    catalog.fail(MODEL, "The disk is full.")

    assert again(catalog).inventory()[0]["error"] == "The disk is full."


def test_files_of_an_earlier_plan_are_not_published(catalog: ModelCatalog) -> None:
    entry = fetched(catalog, entry_of())
    (catalog.partial_folder(MODEL) / "files" / "stranger.gguf").write_bytes(b"old plan")

    catalog.publish(entry)

    assert [path.name for path in catalog.files_folder(MODEL).iterdir()] == ["tiny.Q4_K_M.gguf"]


def test_adding_a_model_twice_is_refused(catalog: ModelCatalog) -> None:
    entry = published(catalog)

    with pytest.raises(Conflict):
        catalog.add(entry)


def test_removing_frees_the_model_and_its_partial_download(catalog: ModelCatalog) -> None:
    published(catalog, b"x" * 10_000)
    fetched(catalog, entry_of(b"y" * 10_000, revision="b" * 40), b"y" * 10_000)

    freed = catalog.remove(MODEL)

    assert freed >= 20_000
    assert [*catalog.models.iterdir(), *catalog.partial.iterdir()] == []
    with pytest.raises(NotFound):
        catalog.remove(MODEL)


def test_a_download_without_a_job_is_failed_at_start_and_says_so(catalog: ModelCatalog) -> None:
    fetched(catalog, entry_of())

    assert again(catalog).get(MODEL).status == ArtifactStatus.failed(INTERRUPTED)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"id": 3}', b"\xff\xfe", b'{"id": "x/y"}'],
    ids=repr,
)
def test_a_corrupt_entry_is_reported_and_skipped(catalog: ModelCatalog, content: bytes) -> None:
    published(catalog)
    published(catalog, model="acme/broken")
    (catalog.models / safe_id("acme/broken") / "metadata.json").write_bytes(content)

    started = again(catalog)

    assert [entry.id for entry in started.list()] == [MODEL]
    assert [problem.name for problem in started.problems] == ["acme%2Fbroken"]


def test_metadata_that_was_moved_to_another_folder_is_reported(catalog: ModelCatalog) -> None:
    published(catalog)
    (catalog.models / safe_id(MODEL)).rename(catalog.models / "other")

    started = again(catalog)

    assert len(started) == 0
    assert started.problems[0].name == "other"


def test_a_file_lost_by_hand_makes_the_model_unavailable(catalog: ModelCatalog) -> None:
    entry = published(catalog)
    catalog.main_path(entry).unlink()

    catalog.refresh()

    assert catalog.available(MODEL) is None
    assert "missing" in str(catalog.get(MODEL).status.error)


def _crash_after_the_old_is_put_aside(catalog: ModelCatalog) -> None:
    (catalog.models / safe_id(MODEL)).rename(catalog.models / ".old-1")


def _crash_after_the_new_took_its_place(catalog: ModelCatalog) -> None:
    _crash_after_the_old_is_put_aside(catalog)
    catalog.partial_folder(MODEL).rename(catalog.models / safe_id(MODEL))


@pytest.mark.parametrize(
    "crash",
    [lambda catalog: None, _crash_after_the_old_is_put_aside, _crash_after_the_new_took_its_place],
    ids=["before the first rename", "between the renames", "before the clean-up"],
)
def test_a_crash_while_publishing_is_completed_at_start(
    catalog: ModelCatalog, crash: Callable[[ModelCatalog], None]
) -> None:
    published(catalog, b"old")
    new = fetched(catalog, entry_of(b"newer", revision="b" * 40), b"newer")
    (catalog.partial_folder(MODEL) / "metadata.json").write_text(new.model_dump_json())
    crash(catalog)

    started = again(catalog)

    assert started.get(MODEL).revision == "b" * 40
    assert started.main_path(new).read_bytes() == b"newer"
    assert [path.name for path in [*catalog.models.iterdir(), *catalog.partial.iterdir()]] == [safe_id(MODEL)]


def test_a_replaced_revision_without_a_successor_comes_back(catalog: ModelCatalog) -> None:
    published(catalog, b"old")
    _crash_after_the_old_is_put_aside(catalog)

    assert again(catalog).get(MODEL).status.state == "available"


def test_what_was_being_deleted_is_gone_after_a_start(catalog: ModelCatalog) -> None:
    published(catalog)
    (catalog.models / safe_id(MODEL)).rename(catalog.models / ".trash-1")

    started = again(catalog)

    assert len(started) == 0
    assert list(catalog.models.iterdir()) == []


def test_old_pieces_expire_but_not_those_of_a_running_download(catalog: ModelCatalog) -> None:
    for model in ("acme/left", "acme/running", "acme/fresh"):
        fetched(catalog, entry_of(model=model))
    catalog.fail("acme/left", "Gave up.")
    catalog.fail("acme/fresh", "Gave up.")
    long_ago = time.time() - 8 * 86_400
    for model in ("acme/left", "acme/running"):
        folder = catalog.partial_folder(model)
        for path in [*folder.rglob("*"), folder]:
            os.utime(path, (long_ago, long_ago))

    expired = catalog.expire_partials(7)

    assert expired == [safe_id("acme/left")]
    assert [entry.id for entry in catalog.list()] == ["acme/fresh", "acme/running"]


def test_a_file_called_like_the_metadata_does_no_harm(catalog: ModelCatalog) -> None:
    file = ModelFile(path="metadata.json", size=2, sha256=sha256(b"{}").hexdigest())
    plan = Plan(
        vendor="url",
        model="https://host/metadata.json",
        files=[PlannedFile(path=file.path, url="https://h/m")],
    )
    (catalog.begin(downloading_entry(plan, NOW)) / file.path).write_bytes(b"{}")

    catalog.publish(available_entry(plan, [file], NOW))

    assert again(catalog).available("https://host/metadata.json")
