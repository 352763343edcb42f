"""What `rbee up` prints: every line of every program, with its name before it."""

import contextlib
import sys
from typing import TextIO

COLOURS = (36, 33, 32, 35, 34, 31)
"""ANSI foregrounds, in the order in which programs are named."""

MAX_LINE = 64 * 1024
"""Bytes; a longer line is printed in parts."""


class Console:
    """Plain when it is not a terminal. Goes silent, and fails nobody, when nobody reads it any more."""

    def __init__(self, names: list[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._width = max(map(len, ["rbee", *names]))
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
        self._coloured = self._stream.isatty()

    def say(self, text: str) -> None:
        """A line of the supervisor itself."""
        self.line("rbee", text)

    def line(self, name: str, text: str) -> None:
        prefix = f"{name:<{self._width}} | "
        if self._coloured and name in self._colours:
            prefix = f"\x1b[{self._colours[name]}m{prefix}\x1b[0m"
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{prefix}{text}\n")
            self._stream.flush()


class Lines:
    """Makes lines of what a pipe delivers."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The complete lines so far; what follows the last of them waits. No data means the end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > MAX_LINE):
            lines, self._rest = [*lines, self._rest], b""
        return [line.rstrip(b"\r").decode(errors="replace") for line in lines]
