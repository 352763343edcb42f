"""Moves the bytes of a plan onto this machine's disk, verified, and says how it goes."""

import os
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from hive.disk import Disk, in_words
from hive.download.bandwidth import Bandwidth
from hive.download.crew import Crew, Limits
from hive.download.finished import FetchedFile, FinishedFiles
from hive.download.incoming import IncomingFile
from hive.download.meter import Meter
from hive.download.origins import Origins
from hive.download.part import storage_failed
from hive.download.patience import FIRST_DELAY
from hive.stop import Reason, Stop
from shared.errors import JobFailed
from shared.ids import model_name
from shared.narration import Line, Said
from shared.plan import Plan
from shared.timing import PROGRESS_INTERVAL

STATE = ".rbee-download"
"""The hidden folder beside the files: unfinished files, their piece maps, and the list of finished ones."""


def clean_state(folder: Path) -> None:
    """Removes what only a resume needs; afterwards `folder` holds the verified files and nothing else."""
    shutil.rmtree(folder / STATE, ignore_errors=True)


class Downloader:
    """One for the whole hive: its jobs share `bandwidth` and `disk`; each has up to `connections`.

    `stall_timeout` and `first_delay` (before the first retry) in seconds; `retries` counts incidents in a row
    that bring no new byte.
    """

    def __init__(
        self,
        *,
        origins: Origins,
        bandwidth: Bandwidth | None = None,
        disk: Disk,
        connections: int = 8,
        stall_timeout: float = 60.0,
        retries: int = 6,
        first_delay: float = FIRST_DELAY,
        user_agent: str = "rbee/0.1",
    ) -> None:
        self._bandwidth = bandwidth
        self._disk = disk
        self._limits = Limits(origins, connections, stall_timeout, retries, first_delay, user_agent)

    def fetch(
        self,
        plan: Plan,
        folder: Path,
        *,
        headers: Mapping[str, str] | None = None,
        stop: Stop,
        bandwidth: int | None = None,
    ) -> Generator[Said, None, list[FetchedFile]]:
        """Fetches every file of `plan` into `folder` and returns the manifest in the plan's order.

        Resumes from what an earlier call left in `folder`, however it ended. `headers` go to the first hop
        only; `bandwidth` in bytes a second limits this job. Raises JobFailed, or Stopped once `stop` is set;
        either way no thread and no socket is left, and the partial files stay.
        """
        stop.check()
        _refuse_clashes(plan)
        state = folder / STATE
        try:
            state.mkdir(parents=True, exist_ok=True)
            finished = FinishedFiles(state / "finished", folder)
        except OSError as error:
            raise storage_failed(error) from error
        try:
            yield from self._fetch(
                plan, folder, finished=finished, headers=headers or {}, stop=stop, bandwidth=bandwidth
            )
            return [found for file in plan.files if (found := finished.find(file))]
        except OSError as error:
            raise storage_failed(error) from error
        finally:
            finished.close()

    def _fetch(
        self,
        plan: Plan,
        folder: Path,
        *,
        finished: FinishedFiles,
        headers: Mapping[str, str],
        stop: Stop,
        bandwidth: int | None,
    ) -> Generator[Said, None, None]:
        before = [found.size for file in plan.files if (found := finished.find(file))]
        files = [
            IncomingFile(planned, folder / STATE, folder / planned.path)
            for planned in plan.files
            if not finished.find(planned)
        ]
        finished.forget_all_but({file.path for file in plan.files})
        _sweep(folder / STATE, {file.key for file in files})
        for file in files:
            stop.check()
            file.recall()
        here = sum(before) + sum(file.pieces.have for file in files)
        yield Line(_opening_words(plan, here, len(before)))
        needed = sum(max(0, (file.size or 0) - file.part.allocated()) for file in files)
        with self._disk.reserve(needed) as reservation:
            limit = Bandwidth(bandwidth, parent=self._bandwidth)
            crew = Crew(
                files,
                self._limits,
                headers=headers,
                bandwidth=limit,
                reservation=reservation,
                finished=finished,
            )
            with stop.on_stop(crew.cut):
                try:
                    yield from _watch(crew, plan, sum(before), Meter(here), stop)
                finally:
                    crew.close(sync=stop.reason in {None, Reason.PAUSE})
            stop.check()
        _sync_folders(folder, plan)
        finished.sync()


def _watch(crew: Crew, plan: Plan, before: int, meter: Meter, stop: Stop) -> Generator[Said, None, None]:
    """Narrates until every file is verified; raises what ended a thread of the crew."""
    yield meter.read(before + crew.schedule.counts()[0], _total(plan, crew, before), "download")
    crew.start()
    while not crew.is_over:
        for text in crew.listen(PROGRESS_INTERVAL):
            yield Line(text)
        received, hashed, coming = crew.schedule.counts()
        phase, done = ("download", received) if coming else ("verify", hashed)
        yield meter.read(before + done, _total(plan, crew, before), phase)
    stop.check()
    for text in crew.listen(0):
        yield Line(text)
    crew.check()
    total = before + crew.schedule.counts()[0]
    yield meter.complete(total)
    yield Line(f"{_files(len(plan.files))} of {model_name(plan.model)} verified, {in_words(total)}.")


def _total(plan: Plan, crew: Crew, before: int) -> int | None:
    if plan.size is not None:
        return plan.size
    sizes = [file.size for file in crew.files]
    return None if None in sizes else before + sum(size or 0 for size in sizes)


def _opening_words(plan: Plan, here: int, finished: int) -> str:
    size = plan.size
    name = model_name(plan.model)
    whole = in_words(size) if size is not None else "an unknown size"
    if not here and not finished:
        host = urlsplit(plan.files[0].url).hostname
        source = f" from {host}" if host else ""
        told = f", {whole}." if size is not None else "; its size is told by the first answer."
        return f"Fetches {_files(len(plan.files))} of {name}{source}{told}"
    done = f", {finished} of {len(plan.files)} files verified" if finished and len(plan.files) > 1 else ""
    return f"Resumes {name} with {in_words(here)} of {whole} already here{done}."


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _refuse_clashes(plan: Plan) -> None:
    """Two files of one path, a file where another needs a folder, or our own folder's name."""
    paths = [file.path for file in plan.files]
    folders = {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)}
    if (
        len(set(paths)) < len(paths)
        or folders & set(paths)
        or any(path.split("/")[0] == STATE for path in paths)
    ):
        raise JobFailed(
            f"The file list of {plan.model} contradicts itself: two files would be stored at one place.",
            code="bad_plan",
            hint="Choose single files of the model, or tell its publisher.",
        )


def _sweep(state: Path, keys: set[str]) -> None:
    """Removes the partial files of an earlier plan: they would only fill the disk."""
    for found in state.iterdir():
        if found.suffix in {".part", ".map"} and found.stem not in keys:
            found.unlink()


def _sync_folders(folder: Path, plan: Plan) -> None:
    """Makes the names durable, as the bytes are already."""
    places = {(folder / file.path).parent for file in plan.files} | {folder, folder / STATE}
    for place in sorted(places):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
