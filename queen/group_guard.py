"""Kills the supervised process groups when the supervisor is gone, however it went.

A small shell in a session of its own reads a pipe whose other end only the supervisor holds. Each line lists all
groups that run; when the pipe ends, those of the last line are killed. That works on every Unix and reaches
grandchildren, which Linux's PR_SET_PDEATHSIG does not; a shell because it stays as long as we do and is 1 MB.
"""

import subprocess

_SCRIPT = """
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
"""


class GroupGuard:
    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell = self._start()

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell()

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell()

    def renew(self) -> None:
        """Starts another shell when somebody ended this one."""
        if self._shell.poll() is not None:
            self._shell = self._start()
            self._tell()

    def close(self) -> None:
        """What it still watches is killed."""
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "rbee-guard"],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def _tell(self) -> None:
        assert self._shell.stdin
        try:
            self._shell.stdin.write((" ".join(map(str, self._groups)) + "\n").encode())
        except BrokenPipeError:
            return  # it was ended: SIGCHLD is on its way, and the next one is told everything
