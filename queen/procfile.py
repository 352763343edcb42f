"""The Procfile: which programs `rbee up` keeps running, one `name: command` a line, started in that order.

Any Procfile runner can use it; here `python` is the interpreter that runs us and `rbee` the program beside
it, so that no virtual environment has to be activated.
"""

import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from shared.errors import SettingsError

PROCFILE = Path(__file__).with_name("Procfile")
"""In the package, to be found from an installed distribution; the one in the checkout's root is a link."""

_LINE = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*):\s*(?P<command>\S.*)")


class Entry(NamedTuple):
    name: str
    argv: list[str]


def read(path: Path = PROCFILE) -> list[Entry]:
    return parse(path.read_text())


def parse(text: str) -> list[Entry]:
    """Blank lines and lines that begin with # mean nothing. Raises SettingsError naming the bad line."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _entry(line.strip(), number)
        if entry.name in entries:
            raise SettingsError(f"Procfile line {number}: {entry.name} is named twice")
        entries[entry.name] = entry
    return list(entries.values())


def _entry(line: str, number: int) -> Entry:
    match = _LINE.fullmatch(line)
    if not match:
        raise SettingsError(f"Procfile line {number}: must look like name: command")
    try:
        argv = shlex.split(match["command"])
    except ValueError as error:
        raise SettingsError(f"Procfile line {number}: {str(error).lower()}") from error
    return Entry(match["name"], _ours(argv))


def _ours(argv: list[str]) -> list[str]:
    program, *rest = argv
    if program == "python":
        return [sys.executable, *rest]
    if program == "rbee":
        beside = Path(sys.executable).with_name("rbee")
        return [str(beside), *rest] if beside.exists() else [sys.executable, "-m", "cli.main", *rest]
    return argv
