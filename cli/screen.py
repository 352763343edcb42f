"""What the commands print: text for people, tables, one JSON document for programs.

On a terminal tables fit its width; elsewhere nothing is cut, coloured or redrawn.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.cells import cell_len
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
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


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


GAP = 2
"""Blanks between two columns."""
MIN_ELASTIC = 12


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, elastic: str = "") -> None:
    """Head and rows; on a narrow screen the column named `elastic` gives way, in the middle of its texts."""
    lines = [[_cell(cell) for cell in row] for row in rows]
    if elastic:
        at = columns.index(elastic)
        widths = [
            max(cell_len(name), *(line[i].cell_len for line in lines)) for i, name in enumerate(columns)
        ]
        room = console().width - sum(widths) - GAP * len(columns) + widths[at]
        for line in lines:
            line[at] = _shortened(line[at], max(room, MIN_ELASTIC))
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        drawn.add_column(name, no_wrap=True)
    for line in lines:
        drawn.add_row(*line)
    _draw(drawn)


def _cell(value: str | Text) -> Text:
    text = value if isinstance(value, Text) else plain(value)
    text.overflow = "ellipsis"
    return text


def _shortened(text: Text, width: int) -> Text:
    """Beginning and end: of a model's id both matter."""
    if text.cell_len <= width:
        return text
    end = (width - 1) * 2 // 3
    return Text(f"{text.plain[: width - 1 - end]}…{text.plain[-end:]}", text.style)


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
        screen.print(drawn)
        return
    with screen.capture() as captured:
        screen.print(drawn)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def document(value: Any) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def json_line(value: Any) -> None:
    sys.stdout.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()
