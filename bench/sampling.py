"""Looks at a value, or does something, again and again beside what is measured."""

import threading
from collections.abc import Callable
from typing import Any, Self


class Sampler:
    def __init__(self, look: Callable[[], Any], every: float) -> None:
        self.values: list[Any] = []
        self._look = look
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.values.append(self._look())

    def __enter__(self) -> Self:
        self.values.append(self._look())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
