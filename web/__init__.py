"""Everything a browser sees: views, templates, static files."""

from flask import Flask, Response

from shared.errors import RbeeError


def install(app: Flask) -> None:
    """Registers the pages."""


def error_page(error: RbeeError, status: int) -> Response:
    return Response(error.message, status=status, mimetype="text/plain")
