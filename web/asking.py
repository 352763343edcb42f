"""What a browser asks for: a page, or the fragment that changed; and where it goes on after a form."""

from urllib.parse import urlsplit

from flask import Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

FRAGMENT = "text/html-fragment"
"""The Accept header of our own scripts: answer with partials, not with a page."""


def wants_fragment() -> bool:
    return FRAGMENT in request.headers.get("Accept", "")


def is_local(path: str | None) -> bool:
    """Whether a path stays on this queen, however a browser reads it."""
    return (
        bool(path)
        and path is not None
        and path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isprintable()
        and "\\" not in path
    )


def go(path: str) -> AnyResponse:
    """The next page after a form: POST, redirect, GET."""
    return redirect(path, 303)


def go_back(otherwise: str) -> AnyResponse:
    """To the page the form was on."""
    came_from = urlsplit(request.headers.get("Referer", ""))
    if came_from.netloc != request.host or not is_local(came_from.path):
        return go(otherwise)
    return go(f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path)


def page(template: str, /, status: int = 200, **values: object) -> Response:
    return make_response(render_template(template, **values), status)


def field(name: str) -> str:
    """One field of the form, without the blanks that pasting brings."""
    return request.form.get(name, "").strip()
