"""An error for a person: a page with a way out, a fragment for our scripts, or the way to log in."""

from urllib.parse import urlencode

from flask import Response, g, make_response, redirect, render_template, request

from shared.errors import RbeeError
from web.asking import wants_fragment

TITLES = {
    400: "That cannot be used",
    403: "Not allowed",
    404: "Not found",
    409: "Not now",
    413: "Too large",
    429: "Too fast",
    503: "Not available for the moment",
}


def error_page(error: RbeeError, status: int) -> Response:
    if wants_fragment():
        return make_response(render_template("_notice.html", error=error), status)
    if status == 401 and request.path != "/login":
        return _to_login()
    return make_response(
        render_template(
            "error.html",
            error=error,
            status=status,
            title=TITLES.get(status, "Something went wrong"),
            known=g.get("principal") is not None,
        ),
        status,
    )


def _to_login() -> Response:
    """Back here afterwards, when coming back by GET makes sense."""
    if request.method != "GET" or request.path in {"/", "/live"}:
        return make_response(redirect("/login", 303))
    following = request.full_path.rstrip("?")
    return make_response(redirect(f"/login?{urlencode({'next': following})}", 303))
