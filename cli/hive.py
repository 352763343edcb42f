"""`rbee hive`: the machines of the fleet, and making this one of them."""

import ipaddress
import sys
import traceback
from typing import Any
from urllib.parse import urlsplit

import click
from rich.text import Text

from cli import naming, options, quantities, screen
from cli.exit_codes import ExitCode
from cli.queen_api import QueenApi, connect
from shared.errors import RbeeError

Hive = dict[str, Any]
"""As the API shows one."""


@click.group()
def hive() -> None:
    """The machines of the fleet.

    Hives are named by name or id.
    """


@hive.command("ls")
@options.as_json
def list_hives(as_json: bool) -> None:
    """List the hives."""
    fleet = [one for one in connect().get("/v1/hives")["items"] if one["kind"] == "hive"]
    if as_json:
        screen.document({"items": fleet})
        return
    if not fleet:
        screen.say("There are no hives yet. This machine: rbee up. Another one: rbee hive token", err=True)
        return
    rows = (
        (
            one["name"],
            one["id"][:8],
            _presence(one),
            f"{one['platform']}/{one['arch']}",
            _devices(one),
            quantities.size(one["disk"]["free"]),
            quantities.size(one["memory"]["available"]),
        )
        for one in fleet
    )
    columns = ("NAME", "ID", "STATE", "PLATFORM", "DEVICES", "DISK FREE", "MEMORY FREE")
    screen.table(columns, rows, elastic="DEVICES")


@hive.command()
@options.hive_argument
@options.as_json
def show(hive: str, as_json: bool) -> None:
    """Show one hive: its devices, its models, what runs on it."""
    api = connect()
    found = api.get(f"/v1/hives/{naming.find_hive(api, hive)['id']}")
    if as_json:
        screen.document(found)
        return
    disk, memory = found["disk"], found["memory"]
    screen.facts(
        [
            ("Hive", found["name"]),
            ("Id", found["id"]),
            ("State", _presence(found)),
            ("Host", f"{found['hostname']}, {found['platform']}/{found['arch']}, rbee {found['version']}"),
            ("Can", ", ".join(found["capabilities"])),
            ("Disk", f"{quantities.size(disk['free'])} free of {quantities.size(disk['total'])}"),
            ("Memory", f"{quantities.size(memory['available'])} free of {quantities.size(memory['total'])}"),
            ("Labels", ", ".join(f"{key}={value}" for key, value in found["labels"].items()) or None),
        ]
    )
    _section(("DEVICE", "NAME", "MEMORY", "FREE"), [_device_row(device) for device in found["devices"]])
    models = [item for item in found["artifacts"] if item["kind"] == "model"]
    _section(
        ("MODEL", "STATE", "SIZE"),
        [
            (item["id"], screen.state(item["status"]), quantities.size(item.get("size") or None))
            for item in models
        ],
        elastic="MODEL",
    )
    running = api.get("/v1/jobs", hive=found["id"], state="running,queued")["items"]
    _section(
        ("JOB", "STATE", "WHAT"),
        [(quantities.short(job["id"]), screen.state(job["state"]), job["title"]) for job in running],
        elastic="WHAT",
    )


@hive.command()
@options.as_json
def token(as_json: bool) -> None:
    """Make a one-time join token, good for an hour, and print the command for the other machine."""
    made = connect().post("/v1/join-tokens")
    if as_json:
        screen.document(made)
        return
    click.echo(made["command"])
    if not sys.stdout.isatty():
        return
    screen.say(
        "Type this on the machine that shall join; it works once, within an hour.", "bright_black", err=True
    )
    if _is_this_machine(made["url"]):
        screen.say(
            f"{made['url']} is for this machine only. For others let the queen listen where they reach it"
            " (RBEE_HOST) and say how they do (RBEE_QUEEN_URL).",
            "yellow",
            err=True,
        )


@hive.command()
@click.argument("url")
@click.argument("token")
@click.option("--name", help="What the fleet calls this machine; else RBEE_HIVE_NAME, else the host's name.")
@click.option("--force", is_flag=True, help="Also when this machine belongs to a queen already.")
@options.as_json
def join(url: str, token: str, name: str | None, force: bool, as_json: bool) -> None:
    """Make this machine a hive of the queen at URL, with a TOKEN that `rbee hive token` made there."""
    from cli import hive_join

    identity, folder = hive_join.join(url, token, name=name, force=force)
    if as_json:
        screen.document({"id": identity.id, "name": identity.name, "queen_url": identity.queen_url})
        return
    screen.say(f"This machine is now the hive {identity.name} ({identity.id}) of {identity.queen_url}.")
    screen.say(f"Its folder: {folder}", "bright_black")
    screen.say("Start it: rbee hive run")


@hive.command("run")
def run_hive() -> int:
    """Run this machine's hive; what service managers start."""
    from hive.main import main

    try:
        return main([])
    except RbeeError:
        raise
    except Exception:  # noqa: BLE001 - for the service's log, which is no person's screen
        traceback.print_exc()
        return ExitCode.FAILED


@hive.command()
@options.hive_argument
@click.argument("name")
@options.as_json
def rename(hive: str, name: str, as_json: bool) -> None:
    """Call a hive NAME."""
    api = connect()
    changed = api.patch(f"/v1/hives/{naming.find_hive(api, hive)['id']}", {"name": name})
    if as_json:
        screen.document(changed)
    else:
        screen.say(f"{changed['id']} is now called {changed['name']}.")


@hive.command("rm")
@options.hive_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.as_json
def remove(hive: str, yes: bool, as_json: bool) -> None:
    """Send a hive away: its jobs fail, its token ends. What lies on its disk stays."""
    api = connect()
    found = naming.find_hive(api, hive)
    if not yes:
        _ask(api, found)
    api.delete(f"/v1/hives/{found['id']}")
    if as_json:
        screen.document({"id": found["id"], "name": found["name"]})
    else:
        screen.say(f"{found['name']} left the fleet.")


def _ask(api: QueenApi, found: Hive) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: add --yes.")
    jobs = len(api.get("/v1/jobs", hive=found["id"], state="running,queued,paused")["items"])
    losing = f" {jobs} of its jobs will fail." if jobs else ""
    click.confirm(f"Send {found['name']} ({found['id']}) away?{losing}", abort=True, err=True)


def _presence(found: Hive) -> Text:
    if found["online"]:
        return screen.state("online")
    seen = quantities.ago(found["last_seen"])
    return screen.plain("never seen" if seen == "never" else f"offline, {seen}", "red")


def _devices(found: Hive) -> str:
    """`2 × RTX 4090 24.0 GB`; the processor only where there is nothing else."""
    accelerators = [device for device in found["devices"] if device["kind"] != "cpu"] or found["devices"]
    told = [f"{device['name']} {quantities.size(device.get('memory_total'))}" for device in accelerators]
    counted = {text: told.count(text) for text in told}
    return ", ".join(text if count == 1 else f"{count} × {text}" for text, count in counted.items())


def _device_row(device: dict[str, Any]) -> tuple[str, ...]:
    total, free = device.get("memory_total"), device.get("memory_free")
    return device["id"], device["name"], quantities.size(total), quantities.size(free)


def _section(columns: tuple[str, ...], rows: list[tuple[Any, ...]], elastic: str = "") -> None:
    if rows:
        screen.say("")
        screen.table(columns, rows, elastic=elastic)


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
