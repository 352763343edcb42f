"""The one way to stop work: a token that the control channel sets and the domain functions watch."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Reason(StrEnum):
    CANCEL = "cancel"
    PAUSE = "pause"
    LOST = "lost"
    """The queen gave the attempt to somebody else: say nothing more."""
    SHUTDOWN = "shutdown"
    """The hive ends: checkpoint, and hand the job back."""


_RANK = {Reason.SHUTDOWN: 0, Reason.PAUSE: 1, Reason.CANCEL: 2, Reason.LOST: 3}


class Stopped(BaseException):
    """Raised by `Stop.check`. A BaseException, so that no `except Exception` of a library swallows it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Stop:
    """Set at most a few times; a stronger reason replaces a weaker one. Thread-safe."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self.reason: Reason | None = None

    def set(self, reason: Reason) -> None:
        with self._lock:
            if self.reason is None or _RANK[reason] > _RANK[self.reason]:
                self.reason = reason
            callbacks = list(self._callbacks.values())
            self._event.set()
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises Stopped once the token is set."""
        if self.reason is not None:
            raise Stopped(self.reason)

    def wait(self, seconds: float) -> None:
        """Sleeps, but raises Stopped the moment the token is set."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        """Calls `callback` (quick, from any thread) when the token is set, at once if it already is."""
        with self._lock:
            key, self._next = self._next, self._next + 1
            self._callbacks[key] = callback
            already = self._event.is_set()
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(key, None)
