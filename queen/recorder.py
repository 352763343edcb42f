"""The recorder process: narration into rows, and the reconciler. Exactly one at a time. `python -m queen.recorder`."""

import fcntl
import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import IO

from redis import RedisError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from queen import joining
from queen.broker_server import broker_url
from queen.database import Database
from queen.reconciler import Reconciler
from queen.recording import BLOCK, Recorder, SteppedDown
from queen.settings import QueenSettings
from queen.telling import Teller
from shared.broker import celery_app, redis_client
from shared.errors import SettingsError, Unavailable
from shared.timing import RECONCILE

log = logging.getLogger(__name__)

GATHER = 0.02
"""Seconds that entries gather after a commit before the next one: under load fewer commits, when idle no delay."""

ADVISORY_LOCK = 0x72626565
"""PostgreSQL's lock number for the recorder: "rbee"."""


class RecorderProcess:
    """Two loops: one reads streams, one reconciles; either may fail and is taken up again."""

    def __init__(self, settings: QueenSettings) -> None:
        url = broker_url(settings)
        self._redis = redis_client(url, blocking=BLOCK)
        self._teller = Teller(redis_client(url), celery_app("recorder", url))
        self._database = Database(settings.database_url, tell=self._teller)
        self._recorder = Recorder(self._database, self._redis)
        self._reconciler = Reconciler(
            self._database, retention_days=settings.retention_days, retention_jobs=settings.retention_jobs
        )
        self._ready_file = settings.queen_dir / "recorder.ready"
        self._stopping = threading.Event()

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`. Raises SteppedDown when another recorder is at work."""
        reconciling = threading.Thread(target=self._reconcile, name="reconciler", daemon=True)
        reconciling.start()
        try:
            while not self._stopping.is_set():
                self._record_until_fault()
        finally:
            self._stopping.set()
            reconciling.join(timeout=5)
            self._teller.close()

    def _record_until_fault(self) -> None:
        try:
            allowed = joining.allow_all_on_broker(self._database, self._redis, {})
            self._ready_file.touch()
            looked_at, allowed_at = 0.0, time.monotonic()
            while not self._stopping.is_set():
                if time.monotonic() - allowed_at > RECONCILE:
                    allowed = joining.allow_all_on_broker(self._database, self._redis, allowed)
                    self._recorder.rewind_lost_streams()
                    allowed_at = time.monotonic()
                if time.monotonic() - looked_at > BLOCK:
                    self._recorder.load_cursors()
                    looked_at = time.monotonic()
                recorded = self._recorder.step()
                if recorded or not self._recorder.has_streams:
                    self._stopping.wait(GATHER if recorded else BLOCK)
        except (RedisError, Unavailable, OperationalError) as error:
            log.warning("action=record error=%s", type(error).__name__)
            self._stopping.wait(0.5)

    def _reconcile(self) -> None:
        while not self._stopping.is_set():
            self._reconciler.tick()
            self._stopping.wait(RECONCILE)


class OnlyOne:
    """Held for as long as this process records: a file lock beside the data, and an advisory lock on PostgreSQL."""

    def __init__(self, settings: QueenSettings) -> None:
        self._settings = settings
        self._file: IO[str] | None = None
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Call again until it is true."""
        if self._file is None:
            self._file = (self._settings.queen_dir / "recorder.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return not self._settings.database_url.startswith("postgresql") or self._lock_database()

    def release(self) -> None:
        if self._connection is not None:
            self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
            self._connection.detach()
            self._connection.close()
            self._connection = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock_database(self) -> bool:
        """Held by a connection outside of any transaction, so that it keeps nothing else from being tidied up."""
        if self._connection is None:
            engine = Database(self._settings.database_url).engine
            self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        query = text("SELECT pg_try_advisory_lock(:key)")
        return bool(self._connection.execute(query, {"key": ADVISORY_LOCK}).scalar())


def main() -> int:
    try:
        settings = QueenSettings.load()
    except SettingsError as error:
        print(f"rbee: {error.message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    lock = OnlyOne(settings)
    while not lock.acquire():
        log.info("action=wait reason=another_recorder")
        time.sleep(2)
    process = RecorderProcess(settings)
    signal.signal(signal.SIGTERM, process.stop)
    signal.signal(signal.SIGINT, process.stop)
    with suppress(KeyboardInterrupt):
        try:
            process.run()
        except SteppedDown as error:
            log.error("action=step_down reason=%s", error)
            return 1
        finally:
            with suppress(DBAPIError):
                lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
