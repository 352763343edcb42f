"""The lifeline of one fetch: every socket hangs on it, every wait listens to it, cutting it ends all."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")


class Cut(BaseException):
    """The fetch is over; raised in its threads so that they end. Never leaves the package."""


class Lifeline:
    """Thread-safe. After `cut` no socket of the fetch carries another byte and no wait lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._waiting: set[SimpleQueue[object]] = set()

    @property
    def is_cut(self) -> bool:
        return self._over.is_set()

    def cut(self) -> None:
        with self._lock:
            self._over.set()
            sockets, waiting = list(self._sockets), list(self._waiting)
        for sock in sockets:
            hang_up(sock)
        for queue in waiting:
            queue.put(None)

    def check(self) -> None:
        if self._over.is_set():
            raise Cut

    def wait(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise Cut

    def hold(self, sock: socket.socket) -> None:
        with self._lock:
            if self._over.is_set():
                sock.close()
                raise Cut
            self._sockets.add(sock)

    def swap(self, old: socket.socket, new: socket.socket) -> None:
        """The connection lives on in another object, as after a TLS handshake."""
        with self._lock:
            self._sockets.discard(old)
        self.hold(new)

    def close(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(sock)
        with suppress(OSError):
            sock.close()

    def call(self, function: Callable[[], Result]) -> Result:
        """Runs what cannot be interrupted (a name look-up) in a thread of its own, and abandons it when cut.

        The abandoned thread is a daemon that holds nothing of the fetch.
        """
        answers: SimpleQueue[object] = SimpleQueue()

        def run() -> None:
            try:
                answers.put((function(), None))
            except Exception as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                answers.put((None, error))

        with self._lock:
            self._waiting.add(answers)
        try:
            self.check()
            threading.Thread(target=run, name="look-up", daemon=True).start()
            answer = answers.get()
        finally:
            with self._lock:
                self._waiting.discard(answers)
        if not isinstance(answer, tuple):
            raise Cut
        value, error = answer
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]


def hang_up(sock: socket.socket) -> None:
    """Ends the conversation from another thread; whoever reads wakes at once and closes the socket itself.

    `socket.socket.shutdown` by name: SSLSocket's own would pull the TLS object from under its reader.
    """
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
