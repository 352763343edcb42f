"""The `rbee` command: its groups, and how an error leaves it."""

import os
import signal
import sys
from importlib.metadata import version

import click

from cli import exit_codes
from cli.exit_codes import ExitCode
from cli.lazy_group import Entry, LazyGroup
from shared.errors import RbeeError

COMMANDS = {
    "up": Entry("cli.up", "command", "Start the queen, its broker and a hive on this machine."),
    "login": Entry("cli.login", "login", "Make a link for the browser, or log in to a queen elsewhere."),
    "logout": Entry("cli.login", "logout", "Forget the stored login."),
    "status": Entry("cli.status", "status", "Whether the queen is up, what is online and what runs."),
    "job": Entry("cli.job", "job", "Submit, list, follow and steer jobs."),
    "model": Entry("cli.model", "model", "Download, list, verify and remove models."),
    "hive": Entry("cli.hive", "hive", "The machines of the fleet."),
    "key": Entry("cli.key", "key", "API keys of the queen."),
    "secret": Entry("cli.secret", "secret", "Tokens that hives need, such as HF_TOKEN."),
    "completion": Entry("cli.completion", "completion", "Print the completion script of a shell."),
    "version": Entry("cli.status", "version_command", "Print the version."),
}


_UNFORESEEN = "This should not happen. RBEE_LOG_LEVEL=debug shows where it did."


def _use_data_dir(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Through the environment: every program that is started from here must see it."""
    if value:
        os.environ["RBEE_DATA_DIR"] = value
    return value


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    epilog=exit_codes.as_text(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("rbee"), prog_name="rbee", message="%(prog)s %(version)s")
@click.option(
    "--url", metavar="URL", help="The queen; else RBEE_QUEEN_URL, the stored login, this machine's."
)
@click.option(
    "--key", metavar="KEY", help="Key for it; else RBEE_ADMIN_TOKEN, the stored one, this machine's."
)
@click.option(
    "--data-dir",
    metavar="FOLDER",
    callback=_use_data_dir,
    expose_value=False,
    help="Where rbee keeps everything, RBEE_DATA_DIR.",
)
def rbee(url: str | None, key: str | None) -> None:
    """One AI fleet out of the machines you own."""


def main() -> None:
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """The exit code. Errors are told on stderr in a line or two."""
    try:
        code = rbee.main(arguments, prog_name="rbee", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return ExitCode.DETACHED
    except RbeeError as error:
        tell(error)
        return exit_codes.of_error(error)
    except BrokenPipeError:
        _swallow_output()
        return 128 + signal.SIGPIPE
    except Exception as error:
        if os.environ.get("RBEE_LOG_LEVEL", "").lower() == "debug":
            raise
        tell(RbeeError(f"{type(error).__name__}: {error}", hint=_UNFORESEEN))
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.DONE


def tell(error: RbeeError) -> None:
    message = error.message
    if error.details:
        message = f"{message.rstrip('.')}: {'; '.join(map(_detail, error.details))}"
    click.echo(f"rbee: {_one_line(message)}", err=True)
    if error.hint:
        click.echo(f"      {_one_line(error.hint)}", err=True)


def _detail(detail: dict[str, object]) -> str:
    """A field's problem, or a hive's verdict."""
    if "reason" in detail:
        return f"{detail.get('name')}: {detail['reason']}"
    text = str(detail.get("message", ""))
    return f"{detail.get('field', '')} {text[:1].lower()}{text[1:]}".strip()


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _swallow_output() -> None:
    """Nobody reads stdout any more; the interpreter's last flush must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
