"""Ties a program to the supervisor: when the supervisor is killed, the program dies too.

`python -I -S tether.py parent PID command…` asks Linux to send KILL when the parent is gone, then becomes the
command. `… lifeline FD command…` is for systems that cannot: it stays, reads a pipe whose other end only the
supervisor holds, and ends its process group when that pipe is closed. Runs as a script, with nothing imported
that would cost the command time or memory.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2)"""


BY_PARENT = sys.platform == "linux"
"""Whether the system ends the program by itself; else it has to inherit the lifeline."""


def tethered(argv: list[str], lifeline: int) -> list[str]:
    """The command that runs `argv` tied to this process, whose pipe can be read at `lifeline`."""
    tie = ["parent", str(os.getpid())] if BY_PARENT else ["lifeline", str(lifeline)]
    return [sys.executable, "-I", "-S", __file__, *tie, *argv]


def main(kind: str, number: int, argv: list[str]) -> int:
    if kind == "parent":
        _die_with_parent(number)
        os.execvp(argv[0], argv)  # noqa: S606
    return _hold(number, argv)


def _die_with_parent(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _hold(lifeline: int, argv: list[str]) -> int:
    import subprocess
    import threading

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # sent to the whole group; the command decides
    child = subprocess.Popen(argv)
    threading.Thread(target=_end_group_at_eof, args=(lifeline,), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _end_group_at_eof(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
