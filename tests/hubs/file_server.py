"""A range file server on loopback that misbehaves on request; real sockets, a free port, in this process.

A `Served` file answers like nginx. Its `hook` sees every request first and may spoil it: answer something else, cut the
connection, stall, drip. The server counts requests, body bytes and parallel connections.
"""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_BLOCK = 64 << 10


@dataclass
class Request:
    """What a client asked: `number` counts the requests of this file from 1; `range` is (first, last or None)."""

    path: str
    number: int
    headers: Mapping[str, str]
    range: tuple[int, int | None] | None
    parallel: int


@dataclass
class Served:
    """One file. `rate` in bytes a second and connection; `length` False hides it; `chunked` implies that too."""

    body: bytes
    etag: str | None = '"v1"'
    modified: str | None = None
    content_type: str | None = "application/octet-stream"
    ranges: bool = True
    rate: int | None = None
    length: bool = True
    chunked: bool = False
    hold_at: int | None = None
    """Body bytes, over all requests, after which every answer waits; for tests that stop a client midway."""
    hook: "Callable[[Exchange], bool | None] | None" = None
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    """Body bytes handed to the network."""


class Exchange:
    """One request and the means to answer it wrongly. A hook that returns True has answered."""

    def __init__(self, handler: "_Handler", served: Served, request: Request, server: "FileServer") -> None:
        self.request = request
        self.served = served
        self.server = server
        self._handler = handler
        self.rate = served.rate
        self.cut_after: int | None = None
        self.stall_after: int | None = None

    def reply(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bool:
        """A complete answer with exactly these headers and the length of `body`."""
        handler = self._handler
        handler.send_response(status)
        given = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in given.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        return True

    def redirect(self, location: str, status: int = 302) -> bool:
        return self.reply(status, {"Location": location})

    def hang_up(self) -> bool:
        """Closes without a word."""
        self._handler.close_connection = True
        return True

    def serve(self) -> None:
        """The honest answer, bent by `rate`, `cut_after` and `stall_after` (body bytes)."""
        served = self.served
        size = len(served.body)
        wanted = self.request.range if served.ranges and self._same_version() else None
        if wanted and wanted[0] >= size:
            self.reply(416, {"Content-Range": f"bytes */{size}"})
            return
        first, last = (
            (wanted[0], min(wanted[1] if wanted[1] is not None else size, size - 1))
            if wanted
            else (0, size - 1)
        )
        headers = {"ETag": served.etag, "Last-Modified": served.modified, "Content-Type": served.content_type}
        if served.ranges:
            headers["Accept-Ranges"] = "bytes"
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if served.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif served.length:
            headers["Content-Length"] = str(last - first + 1)
        else:
            headers["Connection"] = "close"
        self._send(206 if wanted else 200, headers, first, last + 1)

    def _same_version(self) -> bool:
        """RFC 9110 §13.1.5: `If-Range` names this version, by strong comparison."""
        given = self.request.headers.get("If-Range")
        return given is None or given in {self.served.etag, self.served.modified}

    def _send(self, status: int, headers: Mapping[str, str | None], first: int, end: int) -> None:
        handler = self._handler
        handler.send_response(status)
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        at = first
        while at < end:
            count = min(_BLOCK, end - at)
            for limit in (self.cut_after, self.stall_after):
                if limit is not None:
                    count = min(count, first + limit - at)
            if count > 0:
                count = min(count, max(self.rate // 20, 1)) if self.rate else count
                self._write(self.served.body[at : at + count])
                at += count
                if self.rate:
                    self.server.closing.wait(count / self.rate)
            elif self.stall_after is not None:
                self.server.closing.wait()
                handler.close_connection = True
                return
            else:
                handler.close_connection = True
                return
            while self.served.hold_at is not None and self.served.sent >= self.served.hold_at:
                if self.server.closing.wait(0.01):
                    return
            if self.server.closing.is_set():
                return
        if self.served.chunked:
            handler.wfile.write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if self.served.chunked else data)
        with self.server.lock:
            self.served.sent += len(data)


class FileServer:
    """Use as a context manager; `files` may change while it runs."""

    def __init__(
        self, files: Mapping[str, Served] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.files: dict[str, Served] = dict(files or {})
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.parallel = 0
        self.most_parallel = 0
        self.open_sockets: set[socket.socket] = set()
        self.idle = threading.Condition(self.lock)
        """Notified whenever a client's connection has ended."""
        owner = self

        class Handler(_Handler):
            server_of = owner

        self._http = _Http(("127.0.0.1", 0), Handler)
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.01,), name="file-server", daemon=True
        )

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    def url(self, path: str) -> str:
        return f"{self._scheme}://{self.host}/{path}"

    def add(self, path: str, body: bytes, **more: Any) -> Served:
        self.files[path] = served = Served(body, **more)
        return served

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether every client has hung up within that time."""
        with self.idle:
            return self.idle.wait_for(lambda: not self.open_sockets, seconds)

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        with self.lock:
            sockets = list(self.open_sockets)
        for sock in sockets:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is being tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: FileServer

    def handle(self) -> None:
        server = self.server_of
        with server.lock:
            server.open_sockets.add(self.connection)
        try:
            with suppress(ConnectionError, ssl.SSLError):
                super().handle()
        finally:
            with suppress(OSError):
                self.connection.close()
            with server.lock:
                server.open_sockets.discard(self.connection)
                server.idle.notify_all()

    def do_GET(self) -> None:
        server = self.server_of
        served = server.files.get(unquote(urlsplit(self.path).path).lstrip("/"))
        if served is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with server.lock:
            server.parallel += 1
            server.most_parallel = max(server.most_parallel, server.parallel)
            number = len(served.requests) + 1
            headers = dict(self.headers.items())
            request = Request(self.path, number, headers, _range(headers.get("Range")), server.parallel)
            served.requests.append(request)
        try:
            exchange = Exchange(self, served, request, server)
            if not (served.hook and served.hook(exchange)):
                exchange.serve()
        finally:
            with server.lock:
                server.parallel -= 1

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _range(header: str | None) -> tuple[int, int | None] | None:
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", header or "")
    return (int(match[1]), int(match[2]) if match[2] else None) if match else None
