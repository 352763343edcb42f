"""Logging in: by a one-time link, which a click redeems and a prefetch does not, or with the admin token."""

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from queen.guard import OPEN, cookie_name, needs
from queen.principals import SESSION_LIFE, Scope
from queen.services import services
from shared.errors import Unauthorized
from web.asking import field, go, is_local, page

login_pages = Blueprint("login_pages", __name__)


@login_pages.get("/login")
@needs(OPEN)
def show() -> AnyResponse:
    following = request.args.get("next")
    following = following if is_local(following) else "/"
    if _is_known():
        return redirect(following or "/", 303)
    return page("login.html", token=request.args.get("token", ""), following=following)


@login_pages.post("/login")
@needs(OPEN)
def log_in() -> AnyResponse:
    following = request.form.get("next")
    try:
        session = services().principals.log_in(field("token"))
    except Unauthorized as error:
        return page(
            "login.html", 401, token="", following=following, error=error, pasted=bool(field("pasted"))
        )
    response = go(following if following and is_local(following) else "/")
    response.set_cookie(
        cookie_name(), session, max_age=SESSION_LIFE, httponly=True, samesite="Lax", secure=_is_encrypted()
    )
    return response


@login_pages.post("/logout")
@needs(Scope.INFERENCE)
def log_out() -> AnyResponse:
    services().principals.log_out(request.cookies.get(cookie_name(), ""))
    response = go("/login")
    response.delete_cookie(cookie_name(), httponly=True, samesite="Lax", secure=_is_encrypted())
    return response


def _is_known() -> bool:
    try:
        services().principals.of_session(request.cookies.get(cookie_name(), ""))
    except Unauthorized:
        return False
    return True


def _is_encrypted() -> bool:
    """Also behind a proxy that ends TLS."""
    return request.is_secure or (services().settings.queen_url or "").startswith("https://")
