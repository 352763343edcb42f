"""Errors as answers. The bad payload is never echoed; internals stay in the log."""

import logging
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from queen.api.openapi import PREFIXES
from shared.errors import RbeeError, TooMany, Unavailable

log = logging.getLogger(__name__)

_WORDS = {
    400: ("bad_request", "The request cannot be understood."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("too_large", "The body is too large."),
    415: ("unsupported_media_type", "Send JSON."),
}


def wants_json() -> bool:
    """Whether the API was asked, rather than a page."""
    return request.path.startswith(PREFIXES)


def install(app: Flask, render_page: Any) -> None:
    """`render_page(error, status)` draws an error for a browser."""

    def answer(error: RbeeError, status: int) -> Response:
        if wants_json():
            response = jsonify({"error": error.as_dict()})
            response.status_code = status
        else:
            response = render_page(error, status)
        if isinstance(error, TooMany):
            response.headers["Retry-After"] = str(error.retry_after)
        if isinstance(error, Unavailable):
            response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(RbeeError)
    def ours(error: RbeeError) -> Response:
        return answer(error, error.status)

    @app.errorhandler(HTTPException)
    def theirs(error: HTTPException) -> Response:
        status = error.code or 500
        if status < 400:
            return error.get_response()  # type: ignore[return-value]
        code, message = _WORDS.get(status, ("http_error", error.name))
        return answer(RbeeError(message, code=code), status)

    @app.errorhandler(PoolTimeout)
    @app.errorhandler(OperationalError)
    def busy(error: SQLAlchemyError) -> Response:
        log.error("action=database error=%s", getattr(error, "orig", error))
        return answer(Unavailable("The database does not answer.", hint="Try again in a moment."), 503)

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        log.exception("action=request path=%s", request.path)
        return answer(RbeeError("Something went wrong on the queen; its log says what."), 500)
