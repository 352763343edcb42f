"""`rbee up`: prepares, starts the broker and the Procfile's processes, and prints where to log in."""

import errno
import json
import os
import socket
import subprocess
import sys

import click

from queen import broker_server, data_lock, procfile
from queen.settings import QueenSettings
from queen.supervisor import Process, Supervisor, port_open
from shared.errors import RbeeError, SettingsError
from shared.settings import variable

HAND_BACK = 3.5
"""Seconds that the queen waits, when all is stopped, for its hive to hand its jobs back."""


@click.command("up")
@click.option("--host", metavar="ADDRESS", help="Where the queen listens, RBEE_HOST.")
@click.option("--port", type=int, metavar="NUMBER", help="Its port, RBEE_PORT.")
@click.option("--data-dir", metavar="FOLDER", help="Where everything is kept, RBEE_DATA_DIR.")
@click.option("--queen-url", metavar="URL", help="How others reach the queen, RBEE_QUEEN_URL.")
@click.option("--hive-name", metavar="NAME", help="What the fleet calls this machine, RBEE_HIVE_NAME.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, PEM, RBEE_TLS_CERT.")
@click.option("--tls-key", metavar="FILE", help="Its key, PEM, RBEE_TLS_KEY.")
@click.option("--insecure", is_flag=True, help="Let other machines in without TLS, RBEE_INSECURE.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="RBEE_LOG_LEVEL.")
@click.option("--no-hive", is_flag=True, help="Start no hive on this machine.")
def command(no_hive: bool, insecure: bool, **flags: str | int | None) -> int:
    """Start the queen, its broker and a hive on this machine. Ctrl-C ends them.

    Every setting has a variable and a line in rbee.toml; the flags are those that are wanted most.
    """
    given = {name: str(value) for name, value in flags.items() if value is not None}
    if insecure:
        given["insecure"] = "1"
    os.environ.update(
        {variable(name): value for name, value in given.items()}
    )  # for every process started here
    return up(QueenSettings.load(), without_hive=no_hive)


def up(settings: QueenSettings, *, without_hive: bool = False) -> int:
    """Until a signal; the exit code of the command."""
    with data_lock.locked(settings.data_dir):
        _check_port(settings.host, settings.port)
        settings.queen_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        broker = _broker(settings)
        links = _prepare(without_hive)
        ready_file = settings.queen_dir / "recorder.ready"
        ready_file.unlink(missing_ok=True)
        ready = {"web": port_open(settings.host, settings.port), "recorder": ready_file.exists}
        entries = [entry for entry in procfile.read() if not (without_hive and entry.name == "hive")]
        processes = [
            *broker,
            *(
                Process(
                    entry.name,
                    entry.argv,
                    ready=ready.get(entry.name),
                    stop_seconds=HAND_BACK if entry.name == "hive" else Process.stop_seconds,
                )
                for entry in entries
            ),
        ]
        supervisor = Supervisor(processes, settings.data_dir / "run")
        return supervisor.run(lambda: _greet(links))


def _check_port(host: str, port: int) -> None:
    """Raises SettingsError when the web server could not listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} on {host} is taken by another program",
                hint="Choose another one: rbee up --port NUMBER, or RBEE_PORT.",
            ) from error
        raise SettingsError(
            f"the queen cannot listen on {host} port {port}: {error.strerror}",
            hint="Choose another place with --host and --port.",
        ) from error


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


def _prepare(without_hive: bool) -> dict[str, str]:
    flags = ["--no-hive"] if without_hive else []
    done = subprocess.run(
        [sys.executable, "-m", "cli.prepare", *flags], stdout=subprocess.PIPE, check=False, env=os.environ
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
