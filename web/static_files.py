"""Our own static files. The version is in the path: a module's relative imports carry it too, and caches keep them for ever."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, request, send_from_directory
from jinja2 import FileSystemLoader

from queen.guard import OPEN, needs

HERE = Path(__file__).parent
FOLDER = HERE / "static"
FOR_EVER = 365 * 24 * 3600
"""Seconds."""

static_files = Blueprint("static_files", __name__)


def templates() -> FileSystemLoader:
    return FileSystemLoader(HERE / "templates")


@cache
def version() -> str:
    """A hash over all static files."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def asset(name: str) -> str:
    """The address of a static file."""
    return f"/static/{version()}/{name}"


@static_files.get("/static/<asked_version>/<path:name>")
@needs(OPEN)
def show(asked_version: str, name: str) -> Response:
    """A static file; that of another version is never kept, because it may not be the one that was meant."""
    if not (FOLDER / name).is_file():
        abort(404)
    response = send_from_directory(FOLDER, name, etag=version(), conditional=True)
    if asked_version == version():
        response.headers["Cache-Control"] = f"public, max-age={FOR_EVER}, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"
    return response


@static_files.get("/favicon.ico")
@needs(OPEN)
def favicon() -> Response:
    return send_from_directory(FOLDER, "bee.svg", etag=request.method == "GET", max_age=24 * 3600)
