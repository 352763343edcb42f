"""The `rbee` command."""

import sys

import click

from shared.errors import RbeeError


@click.group()
@click.version_option(package_name="rbee")
def rbee() -> None:
    """One AI fleet out of the machines you own."""


@rbee.command()
def up() -> None:
    """Start the queen, its broker and a hive on this machine."""
    from cli.up import up as start
    from queen.settings import QueenSettings

    sys.exit(start(QueenSettings.load()))


@rbee.group()
def hive() -> None:
    """Machines of the fleet."""


@hive.command("run")
def hive_run() -> None:
    """Run this machine's hive; what service managers start."""
    from hive.main import main as run

    sys.exit(run([]))


def main() -> None:
    try:
        rbee(standalone_mode=True)
    except RbeeError as error:
        click.echo(f"rbee: {error.message}", err=True)
        if error.hint:
            click.echo(f"      {error.hint}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
