"""Flask-SSE as its documentation shows it: what a Flask user would take instead. For gunicorn: `bench.published_sse:app`."""

import os

from flask import Flask
from flask_sse import sse

URL = "BENCH_REDIS_URL"

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ.get(URL)
app.register_blueprint(sse, url_prefix="/stream")


@app.get("/page")
def page() -> dict[str, str]:
    return {"page": "small"}
