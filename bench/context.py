"""What a scenario is given: how much to measure, a folder of its own, and a way to tell what it does."""

import shutil
from dataclasses import dataclass
from pathlib import Path


class Skipped(Exception):
    """A scenario, or a part of it, needs a program that is not there."""


@dataclass(frozen=True)
class Context:
    """`rounds` is None where the scenario's own number holds."""

    folder: Path
    quick: bool = False
    rounds: int | None = None

    def count(self, full: int, quick: int) -> int:
        """How often to do something: the scenario's number, or its quick one."""
        return quick if self.quick else full

    def rounds_or(self, full: int, quick: int) -> int:
        return self.rounds or self.count(full, quick)

    def say(self, text: str) -> None:
        print(f"    {text}", flush=True)


def need(*programs: str) -> None:
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise Skipped(f"not on this machine: {', '.join(missing)}")
