"""A measuring program in a process of its own, so that its work is not taken for that of what it measures."""

import json
import subprocess
import sys
from typing import Any, Self

from bench.processes import end
from tests.stack import ROOT


class Child:
    """Runs `python -m module`; says and hears one JSON value a line. Ends with the block."""

    def __init__(self, module: str, start: Any, *, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env,
        )
        self.say(start)

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, value: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the measuring program ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self, value: Any) -> Any:
        self.say(value)
        return self.hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def tell(value: Any) -> None:
    """From inside such a program."""
    print(json.dumps(value), flush=True)
