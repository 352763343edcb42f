"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a unix socket, without fsync."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; None when the package is absent. Debian keeps it off PATH."""
    on_path = shutil.which("pg_ctl")
    places = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@contextmanager
def cluster(binaries: Path) -> Iterator[str]:
    """Runs one; yields the URL of its database. The server refuses to be root, so root hands it to a user."""
    folder = Path(tempfile.mkdtemp(prefix="rbee-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
        as_user = ["runuser", "-u", USER, "--"]
    data = folder / "data"

    def call(program: str, *arguments: str) -> None:
        command = [*as_user, str(binaries / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    try:
        call("initdb", "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8")
        options = f"-F -k {folder} -c listen_addresses= -c max_connections=200 -c deadlock_timeout=200ms"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{USER}@/{USER}?host={folder}"
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
