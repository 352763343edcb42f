"""What the commands print: text for people, tables, one JSON document for programs.

On a terminal tables fit its width; elsewhere nothing is cut, coloured or redrawn.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNCUT = 10_000
"""Columns where nobody's screen is the limit."""

STATE_STYLES = {
    "queued": "yellow",
    "running": "cyan",
    "paused": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "bright_black",
    "online": "green",
    "offline": "red",
    "available": "green",
    "downloading": "cyan",
}


def console(stream: TextIO | None = None) -> Console:
    stream = stream or sys.stdout
    width = None if stream.isatty() else UNCUT
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def is_live(stream: TextIO | None = None) -> bool:
    """Whether something may be redrawn there."""
    return console(stream).is_terminal and not console(stream).is_dumb_terminal


def printable(text: str) -> str:
    """Without control characters: what a server tells must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def plain(text: object, style: str = "") -> Text:
    return Text(printable(str(text)), style=style)


def state(word: str) -> Text:
    return plain(word, STATE_STYLES.get(word.split(maxsplit=1)[0], ""))


def say(text: str, style: str = "", *, err: bool = False) -> None:
    console(sys.stderr if err else sys.stdout).print(plain(text, style))


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, elastic: str = "") -> None:
    """Head and rows; the column named `elastic` is what gives way on a narrow screen."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        drawn.add_column(name, no_wrap=name != elastic)
    for row in rows:
        drawn.add_row(*(_cell(cell) for cell in row))
    _draw(drawn)


def _cell(value: str | Text) -> Text:
    """A line that is cut rather than wrapped, also where its column gives way."""
    text = value if isinstance(value, Text) else plain(value)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def facts(pairs: Iterable[tuple[str, str | Text | None]]) -> None:
    """Names and values of one thing; what is None is left out."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True, style="bold")
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            drawn.add_row(name, value if isinstance(value, Text) else plain(value))
    _draw(drawn)


def _draw(drawn: Table) -> None:
    """Off a terminal without the blanks that fill the last column."""
    screen = console()
    if screen.is_terminal:
        screen.print(drawn, soft_wrap=False)
        return
    with screen.capture() as captured:
        screen.print(drawn, soft_wrap=False)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def document(value: Any) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def json_line(value: Any) -> None:
    sys.stdout.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()
