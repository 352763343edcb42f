"""The web process: gunicorn with threads around the Flask application. `python -m queen.serve`."""

import gc
import logging
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from queen.settings import QueenSettings
from shared.errors import SettingsError

if TYPE_CHECKING:
    from flask import Flask

    from queen.services import Services

THREADS = 600
"""More than `queen.streams.MAX_STREAMS`, so that streams never starve the rest."""
GRACEFUL = 4


class WebServer(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured by our settings alone."""

    def __init__(self, settings: QueenSettings) -> None:
        self.settings = settings
        self.services: Services | None = None
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "bind": [f"{_bracketed(settings.host)}:{settings.port}"],
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "worker_connections": 2000,
            "backlog": 1024,
            "keepalive": 30,
            "timeout": 60,
            "graceful_timeout": GRACEFUL,
            "control_socket_disable": True,
            "loglevel": settings.log_level,
            "errorlog": "-",
            "accesslog": None,
            "proc_name": "rbee-web",
            "certfile": str(settings.tls_cert) if settings.tls_cert else None,
            "keyfile": str(settings.tls_key) if settings.tls_key else None,
            "post_worker_init": self._started,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        """In the worker, after the fork: the master stays small."""
        from queen.app import create_app, create_services

        self.services = create_services(self.settings)
        app = create_app(self.services)
        gc.freeze()  # what is here now stays: the collector need not look at it again and again
        return app

    def _started(self, _worker: Any) -> None:
        """After the fork: threads start here, and TERM ends the streams before gunicorn waits for them."""
        services = self.services
        assert services is not None
        services.hub.start()
        before = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: FrameType | None) -> None:
            services.hub.close()
            services.heartbeats.close()
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, end)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def main() -> int:
    try:
        settings = QueenSettings.load()
    except SettingsError as error:
        print(f"rbee: {error.message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    WebServer(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
