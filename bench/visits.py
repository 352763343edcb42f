"""Visits pages at a steady pace, in a process of its own, and keeps how long each took.

Hears `{host, port, paths, headers, rate}`; every line in is answered with what was found since the last one.
"""

import http.client
import json
import sys
import threading
import time
from typing import Any

from bench.child import tell


class Visitor:
    def __init__(self, start: dict[str, Any]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._took: list[float] = []
        self._failed = 0

    def run(self) -> None:
        """For ever; one page at a time."""
        connection = http.client.HTTPConnection(self._start["host"], self._start["port"], timeout=30)
        pause, due, number = 1 / self._start["rate"], time.perf_counter(), 0
        while True:
            due += pause
            time.sleep(max(0.0, due - time.perf_counter()))
            if time.perf_counter() - due > 1:
                due = time.perf_counter()
            path = self._start["paths"][number % len(self._start["paths"])]
            number += 1
            begun = time.perf_counter()
            try:
                connection.request("GET", path, headers=self._start["headers"])
                response = connection.getresponse()
                response.read()
                failed = response.status != 200
            except (OSError, http.client.HTTPException):
                connection.close()
                failed = True
            with self._lock:
                self._took.append(time.perf_counter() - begun)
                self._failed += failed

    def findings(self) -> dict[str, Any]:
        with self._lock:
            found = {"seconds": self._took, "failed": self._failed}
            self._took, self._failed = [], 0
        return found


def main() -> None:
    visitor = Visitor(json.loads(sys.stdin.readline()))
    threading.Thread(target=visitor.run, daemon=True).start()
    for _ in sys.stdin:
        tell(visitor.findings())


if __name__ == "__main__":
    main()
