"""One reader of the fleet's events, on a raw socket: says when an event's bytes arrived."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit


class Follower:
    """Calls `hear(kind, data, seconds)` for every event, from its own thread; `seconds` is `time.perf_counter()`."""

    def __init__(self, url: str, token: str, hear: Callable[[bytes, bytes, float], None]) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60)
        self._socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        self._hear = hear
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._opened.wait(30):
            raise RuntimeError("the stream does not open")
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        kept = b""
        while True:
            try:
                got = self._socket.recv(1 << 16)
            except OSError:
                return
            now = time.perf_counter()
            if not got:
                return
            self._opened.set()
            *events, kept = (kept + got).split(b"\n\n")
            for event in events:
                self._take(event, now)

    def _take(self, event: bytes, now: float) -> None:
        fields = dict(
            line.split(b": ", 1) for line in event.replace(b"\r\n", b"\n").split(b"\n") if b": " in line
        )
        if b"event" in fields:
            self._hear(fields[b"event"], fields.get(b"data", b""), now)
