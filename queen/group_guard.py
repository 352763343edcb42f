"""Kills the supervised process groups when the supervisor is gone, however it went.

A small process of its own, in its own session, that reads a pipe whose other end only the supervisor holds:
`+<group>` and `-<group>` a line. When the pipe ends it kills the groups that are left. That works on every
Unix and reaches grandchildren, which Linux's PR_SET_PDEATHSIG does not. Run as a script it imports nothing else.
"""

import os
import signal
import subprocess
import sys


class GroupGuard:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process = self._start()

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"-{group}")

    def renew(self) -> None:
        """Starts another when somebody ended this one."""
        if self._process.poll() is not None:
            self._process = self._start()
            for group in self._groups:
                self._tell(f"+{group}")

    def close(self) -> None:
        """Whatever it still watches is killed."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )

    def _tell(self, word: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{word}\n".encode())
        except BrokenPipeError:
            return  # it was ended; SIGCHLD is on its way and `renew` tells the next one everything


def main() -> None:
    """The guard's end."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line.startswith(b"+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main()
