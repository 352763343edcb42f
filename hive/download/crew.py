"""The threads of one fetch: connections that bring bytes, hashers that check them. None outlives `close`."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from hive.disk import Reservation, in_words
from hive.download.asking import Asker
from hive.download.bandwidth import Bandwidth
from hive.download.faults import checksum_mismatch
from hive.download.finished import FetchedFile, FinishedFiles
from hive.download.hasher import Hasher
from hive.download.incoming import IncomingFile
from hive.download.lifeline import Cut, Lifeline
from hive.download.origins import Origins
from hive.download.part import storage_failed
from hive.download.recovery import Recovery
from hive.download.schedule import MAX_LARGE, Schedule
from hive.download.worker import Worker


@dataclass(frozen=True, slots=True)
class Limits:
    """What one hive allows its downloads; seconds and counts."""

    origins: Origins
    connections: int
    stall_timeout: float
    retries: int
    first_delay: float
    user_agent: str


class Crew:
    """Started once, closed once. The generator that owns it listens to what it says and asks how it ended."""

    def __init__(
        self,
        files: Sequence[IncomingFile],
        limits: Limits,
        *,
        headers: Mapping[str, str],
        bandwidth: Bandwidth,
        reservation: Reservation,
        finished: FinishedFiles,
    ) -> None:
        self.files = files
        self._limits = limits
        self._headers = headers
        self._bandwidth = bandwidth
        self._reservation = reservation
        self._finished = finished
        self._lifeline = Lifeline()
        self._said: SimpleQueue[str | None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._working = 0
        connections = max(1, min(limits.connections, self._useful()))
        self.schedule = Schedule(files, connections, self._lifeline)
        self._recovery = Recovery(self.schedule, limits.retries, limits.first_delay, self._said.put)
        self._pool = ThreadPoolExecutor(connections + MAX_LARGE, thread_name_prefix="download")

    @property
    def is_over(self) -> bool:
        return self._working == 0 or self._failure is not None or self._lifeline.is_cut

    def start(self) -> None:
        workers = [self._worker() for _ in range(self.schedule.connections)]
        self._working = len(workers)
        for worker in workers:
            self._pool.submit(worker.run).add_done_callback(self._worker_ended)

    def cut(self) -> None:
        """Ends every socket and wait at once; from any thread."""
        self._lifeline.cut()
        with self.schedule.lock:
            self.schedule.wake()
        self._said.put(None)

    def close(self, *, sync: bool) -> None:
        """Cuts what still runs, joins all threads, and leaves the partial files in order."""
        self.cut()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for file in self.files:
            file.close(sync=sync)

    def check(self) -> None:
        """Raises what ended a thread."""
        if self._failure is not None:
            raise self._failure

    def listen(self, seconds: float) -> list[str]:
        """What was said; waits at most `seconds`, less when something is said or all is over."""
        found: list[str] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                text = self._said.get(timeout=max(deadline - time.monotonic(), 0) if not found else 0)
            except Empty:
                return found
            if text is None:
                return found
            found.append(text)

    def _useful(self) -> int:
        """No more connections than there is work for."""
        return sum(1 if file.small else self._limits.connections for file in self.files)

    def _worker(self) -> Worker:
        limits = self._limits
        return Worker(
            schedule=self.schedule,
            asker=Asker(
                limits.origins,
                self._lifeline,
                self._headers,
                stall_timeout=limits.stall_timeout,
                user_agent=limits.user_agent,
            ),
            recovery=self._recovery,
            lifeline=self._lifeline,
            bandwidth=self._bandwidth,
            reservation=self._reservation,
            opened=self._hash_beside,
            landed=self._hash_now,
        )

    def _hash_beside(self, file: IncomingFile) -> None:
        """A large file is hashed by a thread of its own while it comes in."""
        if file.small:
            return
        with self.schedule.lock:
            file.users += 1
        self._pool.submit(self._hash_large, file).add_done_callback(self._ended)

    def _hash_large(self, file: IncomingFile) -> None:
        try:
            self._hash_now(file, None)
        finally:
            self.schedule.leave(file)

    def _hash_now(self, file: IncomingFile, buffer: memoryview | None) -> None:
        hasher = Hasher(file, self.schedule, buffer)
        digest = hasher.run()
        if hasher.damaged:
            self._said.put(
                f"{file.path}: {in_words(hasher.damaged)} on disk were damaged and were fetched again."
            )
        if digest is None:
            return
        if file.planned.sha256 not in {None, digest}:
            self._mismatch(file)
            return
        self._publish(file, digest)

    def _mismatch(self, file: IncomingFile) -> None:
        with self.schedule.lock:
            file.trouble.mismatches += 1
            if file.trouble.mismatches > 1:
                raise checksum_mismatch(file.path)
            self._said.put(f"{file.path}: the SHA-256 does not match; fetches the whole file once more.")
            self.schedule.restart(file)

    def _publish(self, file: IncomingFile, digest: str) -> None:
        """Synced bytes, then the name, then the record, then the map goes: a crash between is harmless."""
        file.part.sync()
        file.part.close()
        file.pieces.close()
        file.final.parent.mkdir(parents=True, exist_ok=True)
        file.part.path.replace(file.final)
        self._finished.add(file.planned, FetchedFile(file.path, file.size or 0, digest))
        file.map_path.unlink(missing_ok=True)
        self.schedule.finish(file, digest)

    def _worker_ended(self, future: Future[None]) -> None:
        self._working -= 1
        self._ended(future)
        if self._working == 0:
            self._said.put(None)

    def _ended(self, future: Future[None]) -> None:
        """Called in the thread that ended; keeps the first failure and stops the others.

        The network's errors never get here, so an OSError is the disk's.
        """
        try:
            error = future.exception()
        except CancelledError:
            return
        if error is not None and not isinstance(error, Cut) and self._failure is None:
            self._failure = storage_failed(error) if isinstance(error, OSError) else error
            self.cut()
