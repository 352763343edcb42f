"""A hub that speaks Hugging Face's HTTP, on loopback, with real files: the client library sees no difference.

The API and `/{repo}/resolve/…` answer on one port, the bytes of LFS files come from another, the "CDN", which
refuses credentials. `hub.misbehave(path, …)` makes paths fail; `hub.requests` remembers what was asked.

    python -m tests.hubs.huggingface --port 9000 --root DIR     # DIR/org/repo/…files…
"""

import argparse
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hubs.repositories import HubFile, Repo, tree_item


@dataclass
class Fault:
    """What happens to requests whose path matches, `times` times (None: always)."""

    path: re.Pattern[str]
    times: int | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent with 200 in place of the answer, when there is no status."""
    leave: bool = False
    """Closes the connection after `body`."""
    hang: bool = False
    """Says nothing until the hub ends."""
    cut: int | None = None
    """Closes the connection after so many bytes of the body."""
    corrupt: bool = False
    """Sends the right length of wrong bytes."""
    delay: float = 0.0
    """Seconds before every chunk."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    cdn: bool


class HuggingFaceHub:
    """A context manager. `tokens` maps a token to the gated and private repositories it may read."""

    def __init__(self, port: int = 0, *, page: int = 1000) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, set[str]] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.page = page
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._servers = [_Server(self, port, cdn=False), _Server(self, 0, cdn=True)]
        self.url, self.cdn_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: Mapping[str, bytes | Path], **fields: Any) -> Repo:
        """A repository with one commit on `main`."""
        repo = self.repos[name] = Repo(name, **fields)
        repo.commit(files)
        return repo

    def misbehave(self, path: str, **fields: Any) -> Fault:
        """`path` is a regular expression, searched in the request's path."""
        fault = Fault(re.compile(path), **fields)
        with self._lock:
            self.faults.append(fault)
        return fault

    def fault_for(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.path.search(path) and fault.times != 0:
                    fault.times = fault.times and fault.times - 1
                    return fault
        return None

    def counts(self) -> Counter[str]:
        """Requests by `METHOD /path`, without queries."""
        return Counter(f"{request.method} {request.path.split('?')[0]}" for request in list(self.requests))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, hub: HuggingFaceHub, port: int, *, cdn: bool) -> None:
        self.hub = hub
        self.cdn = cdn
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients leave whenever they like."""


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    fault: Fault | None = None

    def do_GET(self) -> None:
        hub = self.server.hub
        hub.requests.append(Request(self.command, self.path, dict(self.headers), self.server.cdn))
        self.fault = hub.fault_for(self.path)
        if self.fault and self._misbehaves(self.fault):
            return
        try:
            self._serve_blob() if self.server.cdn else self._route()
        except _Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._json({"error": refusal.message}, refusal.status, headers)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _misbehaves(self, fault: Fault) -> bool:
        if fault.hang:
            self.server.hub.stopping.wait(60)
            self.close_connection = True
        elif fault.status is not None:
            self._send(fault.status, fault.body or b"", fault.headers)
            self.close_connection = fault.leave
        elif fault.body is not None:
            self._send(200, fault.body, {"Content-Type": "text/html"} | fault.headers)
        else:
            return False
        return True

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            self._info(match[1], "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._info(match[1], match[2])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?", path):
            self._tree(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        else:
            raise _Refusal(404, "", "Not Found")

    def _repo(self, name: str, *, contents: bool = False) -> Repo:
        """Public and gated ones are visible to all, the contents of gated ones to the accepted only."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.hub.tokens:
            raise _Refusal(401, "", "Invalid credentials in Authorization header")
        allowed = name in self.server.hub.tokens.get(token, set())
        repo = self.server.hub.repos.get(name)
        if repo is None or (repo.private and not allowed):
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            raise _Refusal(403, "", "Access to this resource is disabled.")
        if contents and repo.gated and not allowed:
            raise _Refusal(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        return repo

    def _commit(self, repo: Repo, revision: str) -> str:
        commit = repo.resolve(revision)
        if commit is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _info(self, name: str, revision: str) -> None:
        repo = self._repo(name)
        commit = self._commit(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(repo.commits[commit])]
        self._json(
            {"_id": "0" * 24, "id": name, "modelId": name, "sha": commit, "private": repo.private}
            | {"gated": repo.gated, "disabled": False, "downloads": 1, "likes": 0, "tags": repo.tags}
            | {"siblings": siblings, "lastModified": "2026-01-01T00:00:00.000Z"}
        )

    def _tree(self, name: str, revision: str) -> None:
        repo = self._repo(name)
        commit = self._commit(repo, revision)
        paths = sorted(repo.commits[commit])
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        end = start + self.server.hub.page
        url = f"{self.server.hub.url}/api/models/{name}/tree/{commit}?recursive=true&cursor={end}"
        items = [tree_item(repo, commit, path) for path in paths[start:end]]
        self._json(items, headers={"Link": f'<{url}>; rel="next"'} if end < len(paths) else {})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name, contents=True)
        commit = self._commit(repo, revision)
        file = repo.commits[commit].get(path)
        if file is None:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        oid, sha256 = repo.oids[commit, path]
        headers = {"X-Repo-Commit": commit}
        if sha256 is None:
            self._file(file, headers | {"ETag": f'"{oid}"'})
            return
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(file.size)}
        headers["Location"] = f"{self.server.hub.cdn_url}/{name}/{commit}/{quote(path)}?Signature=s3cr3t"
        self._send(302, b"Found", headers)

    def _serve_blob(self) -> None:
        if self.headers.get("Authorization"):
            raise _Refusal(400, "", "Only one auth mechanism allowed")
        owner, repo, commit, path = unquote(urlsplit(self.path).path).lstrip("/").split("/", 3)
        repo_kept = self.server.hub.repos[f"{owner}/{repo}"]
        _, sha256 = repo_kept.oids[commit, path]
        self._file(repo_kept.commits[commit][path], {"ETag": f'"{sha256}"'})

    def _file(self, file: HubFile, headers: dict[str, str]) -> None:
        """RFC 9110 §14: one range; If-Range with a strong ETag."""
        size, first, last, status = file.size, 0, file.size - 1, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
            if first >= size:
                self._send(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            status, headers = 206, headers | {"Content-Range": f"bytes {first}-{last}/{size}"}
        self._head(status, headers | {"Accept-Ranges": "bytes", "Content-Length": str(last + 1 - first)})
        if self.command == "GET":
            self._body(file.parts(first, last))

    def _body(self, parts: Iterator[bytes]) -> None:
        fault, sent = self.fault or Fault(re.compile("")), 0
        for part in parts:
            time.sleep(fault.delay)
            allowed = part if fault.cut is None else part[: fault.cut - sent]
            self.wfile.write(bytes(len(allowed)) if fault.corrupt else allowed)
            sent += len(allowed)
            if len(allowed) < len(part):
                self.close_connection = True
                return

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(
            status, json.dumps(value).encode(), {"Content-Type": "application/json"} | dict(headers or {})
        )

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, {"Content-Length": str(len(body))} | dict(headers))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()


def from_folder(hub: HuggingFaceHub, root: Path) -> None:
    """Every `root/org/repo` becomes a public repository."""
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        hub.add(folder.relative_to(root).as_posix(), files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", type=Path, required=True)
    arguments = parser.parse_args()
    with HuggingFaceHub(arguments.port) as hub:
        from_folder(hub, arguments.root)
        print(f"HF_ENDPOINT={hub.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
