"""Brings a model onto this hive: plan, fetch, publish."""

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any

from hive.artifacts import VendorSource
from hive.disk import in_words
from hive.download import FetchedFile
from hive.download.part import storage_failed
from hive.model_contents import model_type_of, refuse_other_contents
from hive.model_entry import ModelEntry, ModelFile, available_entry, downloading_entry
from hive.model_folder import FILES
from hive.operations.work import Narrated, Work
from hive.quantities import counted
from hive.stop import Reason, Stopped
from shared.errors import JobFailed
from shared.narration import Line, Said
from shared.plan import Plan

_JOB = "job"
CANCELLED = "The download was cancelled; start it again and it goes on from the pieces on disk."


def model_download(work: Work) -> Narrated:
    """Result: {model, revision, size, quantization, files: [{path, size, sha256}]}.

    Raises JobFailed and Stopped. An older revision stays available until the new one replaces it.
    A pause keeps the pieces and the entry; a cancel keeps the pieces until they expire.
    """
    plan, vendor = yield from _planned(work)
    existing = work.catalog.available(work.model)
    if existing and (_is_same(existing, plan) or _is_of(existing, work.job_id)):
        yield Line(f"{work.name} is already here: {_extent(existing)}, verified {_day(existing)}.")
        return _result(existing)
    fetched = yield from _fetched(work, plan, vendor)
    entry = _publish(work, plan, fetched)
    yield Line(f"{work.name} is available: {_extent(entry)}, every byte verified by SHA-256.")
    return _result(entry)


def _planned(work: Work) -> Generator[Said, None, tuple[Plan, VendorSource]]:
    if work.plan:
        plan = Plan.model_validate(work.plan)
        return plan, work.vendors.named(plan.vendor)
    vendor = work.vendors.supporting(work.model)
    made = yield from vendor.plan(
        work.model, work.params.get("revision"), secrets=work.secrets, stop=work.stop
    )
    plan = _with_demand(made, work.params.get("sha256"))
    if plan.size is not None:
        yield Line(f"{work.name} is {_plan_extent(plan)}.")
    work.store_plan(plan.model_dump(mode="json"), plan.size)
    return plan, vendor


def _with_demand(plan: Plan, sha256: str | None) -> Plan:
    """The plan with the hash that the user demands of its one file."""
    if sha256 is None:
        return plan
    demanded = sha256.lower()
    if len(plan.files) != 1:
        raise JobFailed(
            f"{plan.model} is a set of {len(plan.files)} files, so one SHA-256 cannot be checked against it.",
            code="sha256_of_a_set",
            hint="Leave sha256 out, or name a single file.",
        )
    file = plan.files[0]
    if file.sha256 not in {None, demanded}:
        raise JobFailed(
            f"{plan.vendor} states another SHA-256 for {file.path} than was demanded.",
            code="checksum_mismatch",
            hint="Check the sha256 and the revision; nothing was fetched.",
        )
    return plan.model_copy(update={"files": [file.model_copy(update={"sha256": demanded})]})


def _fetched(work: Work, plan: Plan, vendor: VendorSource) -> Generator[Said, None, list[FetchedFile]]:
    try:
        folder = work.catalog.begin(downloading_entry(plan, datetime.now(UTC)))
        fetched = yield from work.downloader.fetch(
            plan, folder, headers=vendor.headers(work.secrets), stop=work.stop, bandwidth=work.bandwidth
        )
        for file in fetched:
            refuse_other_contents(folder / file.path, file.path)
        work.stop.check()
    except OSError as error:
        failure = storage_failed(error)
        work.catalog.fail(work.model, _in_words(failure))
        raise failure from error
    except JobFailed as failure:
        work.catalog.fail(work.model, _in_words(failure))
        raise
    except Stopped as stopped:
        if stopped.reason is Reason.CANCEL:
            work.catalog.fail(work.model, CANCELLED)
        raise
    return fetched


def _publish(work: Work, plan: Plan, fetched: Sequence[FetchedFile]) -> ModelEntry:
    files = [ModelFile(path=file.path, size=file.size, sha256=file.sha256) for file in fetched]
    entry = available_entry(plan, files, datetime.now(UTC))
    main = work.catalog.partial_folder(work.model) / FILES / entry.path
    metadata = {_JOB: work.job_id} if work.job_id else {}
    entry = entry.model_copy(update={"model_type": model_type_of(main), "metadata": metadata})
    try:
        work.catalog.publish(entry)
    except OSError as error:
        raise storage_failed(error) from error
    return entry


def _is_of(entry: ModelEntry, job_id: str) -> bool:
    """Whether an earlier attempt of this job brought the entry, and only its word of it was lost."""
    return bool(job_id) and entry.metadata.get(_JOB) == job_id


def _is_same(entry: ModelEntry, plan: Plan) -> bool:
    """Whether the entry is what the plan would bring; a plan without commit and hashes proves nothing."""
    have = {file.path: file for file in entry.files}
    if entry.revision != plan.revision or have.keys() != {file.path for file in plan.files}:
        return False
    pinned = plan.revision is not None
    return all(
        file.sha256 == have[file.path].sha256 if file.sha256 else pinned and file.size == have[file.path].size
        for file in plan.files
    )


def _in_words(failure: JobFailed) -> str:
    return f"{failure.message} {failure.hint}" if failure.hint else failure.message


def _result(entry: ModelEntry) -> dict[str, Any]:
    return {
        "model": entry.id,
        "revision": entry.revision,
        "size": entry.size,
        "quantization": entry.quantization,
        "files": [file.model_dump() for file in entry.files],
    }


def _extent(entry: ModelEntry) -> str:
    return _joined(len(entry.files), in_words(entry.size), entry.quantization, entry.revision)


def _plan_extent(plan: Plan) -> str:
    size = "size yet unknown" if plan.size is None else in_words(plan.size)
    return _joined(len(plan.files), size, plan.quantization, plan.revision)


def _joined(files: int, size: str, quantization: str | None, revision: str | None) -> str:
    at = f"commit {revision[:7]}" if revision else None
    return ", ".join(part for part in (counted(files, "file"), size, quantization, at) if part)


def _day(entry: ModelEntry) -> str:
    return f"{entry.verified_at:%Y-%m-%d}" if entry.verified_at else "once"
