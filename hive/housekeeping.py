"""What a hive looks after by itself: changes made to its models by hand, and pieces that nobody came back for."""

import logging
import threading
import time

from hive.catalog import ModelCatalog

log = logging.getLogger(__name__)

LOOK_EVERY = 60.0
"""Seconds between two looks at the folders."""
EXPIRE_EVERY = 3600.0


class Housekeeping:
    def __init__(self, catalog: ModelCatalog, *, partial_days: float) -> None:
        self._catalog = catalog
        self._partial_days = partial_days
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._expired_at = 0.0

    def start(self) -> None:
        """First makes whole what a crash left half done."""
        for problem in self._catalog.repair():
            log.warning("action=repair folder=%s reason=%s", problem.name, problem.reason)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._expire()
                self._catalog.refresh()
            except OSError as error:
                log.warning("action=housekeeping error=%s", error.strerror)
            self._stopping.wait(LOOK_EVERY)

    def _expire(self) -> None:
        if time.monotonic() - self._expired_at < EXPIRE_EVERY and self._expired_at:
            return
        self._expired_at = time.monotonic()
        for model in self._catalog.expire_partials(self._partial_days):
            log.info("action=expire model=%s", model)
