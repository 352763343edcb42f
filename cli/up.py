"""`rbee up`: prepares, starts the broker and the Procfile's processes, and prints where to log in."""

import json
import os
import subprocess
import sys

import click

from queen import broker_server, data_lock, procfile
from queen.settings import QueenSettings
from queen.supervisor import Process, Supervisor, port_open
from shared.errors import RbeeError


def up(settings: QueenSettings, *, without_hive: bool = False) -> int:
    """Until a signal; the exit code of the command."""
    with data_lock.locked(settings.data_dir):
        settings.queen_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        broker = _broker(settings)
        links = _prepare()
        ready_file = settings.queen_dir / "recorder.ready"
        ready_file.unlink(missing_ok=True)
        ready = {"web": port_open(settings.host, settings.port), "recorder": ready_file.exists}
        entries = [entry for entry in procfile.read() if not (without_hive and entry.name == "hive")]
        processes = [
            *broker,
            *(Process(entry.name, entry.argv, ready=ready.get(entry.name)) for entry in entries),
        ]
        supervisor = Supervisor(processes, settings.data_dir / "run")
        return supervisor.run(lambda: _greet(links))


def _broker(settings: QueenSettings) -> list[Process]:
    if settings.redis_url:
        return []
    server = broker_server.find_server()
    broker_server.write_config(settings)
    url = broker_server.broker_url(settings)
    return [
        Process(
            "broker",
            broker_server.argv(server, settings),
            ready=lambda: broker_server.is_ready(url),
            log=broker_server.log_path(settings),
        )
    ]


def _prepare() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli.prepare"], stdout=subprocess.PIPE, check=False, env=os.environ
    )
    if done.returncode != 0:
        raise RbeeError("rbee could not prepare its data; the lines above say why.")
    links: dict[str, str] = json.loads(done.stdout)
    return links


def _greet(links: dict[str, str]) -> None:
    click.echo("")
    click.secho("  rbee is up.", bold=True)
    click.echo(f"  Open this link once, within a day:  {links['login_url']}")
    click.echo(f"  Afterwards:  {links['url']}      Another link:  rbee login      End:  Ctrl-C")
    click.echo("")
    sys.stdout.flush()
