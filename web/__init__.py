"""Everything a browser sees: views, templates, static files."""

from flask import Flask

from web import live, static_files, words
from web.errors import error_page
from web.pages import PAGES

__all__ = ["error_page", "install"]


def install(app: Flask) -> None:
    """Registers the pages, their template filters and the stream of fragments."""
    app.jinja_loader = static_files.templates()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals["asset"] = static_files.asset
    words.install(app.jinja_env)
    for blueprint in (static_files.static_files, live.live, *PAGES):
        app.register_blueprint(blueprint)
