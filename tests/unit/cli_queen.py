"""A small HTTP server that answers as it is told: the queen as the command line sees it, one answer after the other."""

import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """`chunks` go out one by one, chunked; then the connection ends well, or is cut."""

    status: int = 200
    body: Any = None
    chunks: list[bytes] | None = None
    cut: bool = False
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[Asked], Answer]


def stream(*chunks: str, cut: bool = False) -> Answer:
    return Answer(chunks=[chunk.encode() for chunk in chunks], cut=cut)


class ScriptedQueen:
    """Answers are taken from the front of the list of their path; the last one stays. Use as a context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer | Script]] = {}
        owner = self

        class Handler(_Handler):
            queen = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._http.server_address[1]}"

    def on(self, method: str, path: str, *answers: Answer | Script) -> None:
        self._answers[method, path] = list(answers)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        waiting = self._answers.get((asked.method, asked.path))
        if not waiting:
            return Answer(404, {"error": {"code": "not_found", "message": "There is nothing here."}})
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return found if isinstance(found, Answer) else found(asked)

    def __enter__(self) -> "ScriptedQueen":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    queen: ScriptedQueen

    def _serve(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(
            self.command,
            address.path,
            dict(parse_qsl(address.query)),
            dict(self.headers),
            json.loads(body) if body else None,
        )
        answer = self.queen.answer(asked)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks is None:
            data = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            data = b"" if answer.body is None else data
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in answer.chunks:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        if answer.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def handle(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
