"""What the exit code of `rbee` says; scripts may trust it."""

from enum import IntEnum

from shared.errors import InvalidRequest, NotFound, RbeeError, SettingsError, Unavailable, Unprocessable


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELLED = 4
    NOT_FOUND = 5
    DETACHED = 130


WORDS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the job failed, or the request was refused",
    ExitCode.USAGE: "arguments or settings that cannot be used",
    ExitCode.UNREACHABLE: "no queen answers",
    ExitCode.CANCELLED: "the job was cancelled",
    ExitCode.NOT_FOUND: "there is no such job, hive, model or key",
    ExitCode.DETACHED: "detached by Ctrl-C; the job goes on",
}


def of_error(error: RbeeError) -> ExitCode:
    match error:
        case SettingsError() | InvalidRequest() | Unprocessable():
            return ExitCode.USAGE
        case Unavailable():
            return ExitCode.UNREACHABLE
        case NotFound():
            return ExitCode.NOT_FOUND
    return ExitCode.FAILED


def of_states(states: list[str]) -> ExitCode:
    """Of jobs that ended: failed if one failed, else cancelled if one was."""
    if "failed" in states:
        return ExitCode.FAILED
    return ExitCode.CANCELLED if "cancelled" in states else ExitCode.DONE


def as_text() -> str:
    """For `rbee --help`; the mark keeps click from wrapping the lines."""
    return "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {words}" for code, words in WORDS.items())
