"""The whole path once more on PostgreSQL and a Redis of your own, with processes killed."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queen.broker_server import find_server, wait_ready
from tests.acceptance.test_first_slice import has_bytes, slow_model
from tests.hubs.file_server import FileServer
from tests.postgres import cluster, programs
from tests.stack import Stack, assert_told_once, free_port, wait_for


@contextmanager
def redis_of_your_own(folder: Path) -> Iterator[str]:
    """A server with one powerful user and no ACL file."""
    port = free_port()
    config = folder / "redis.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\ndir {folder}\nsave ""\nuser default off\nuser boss on >secret ~* &* +@all\n'
    )
    url = f"redis://boss:secret@127.0.0.1:{port}/0"
    server = subprocess.Popen([find_server().path, config], stdout=subprocess.DEVNULL)
    try:
        assert wait_ready(url, 10)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[dict[str, str]]:
    binaries = programs()
    if binaries is None:
        reason = "the system package postgresql is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with cluster(binaries) as database_url, redis_of_your_own(tmp_path) as redis_url:
        yield {"RBEE_DATABASE_URL": database_url, "RBEE_REDIS_URL": redis_url}


def test_the_path_works_on_servers_of_your_own(
    outside: dict[str, str], tmp_path: Path, files: FileServer
) -> None:
    with Stack(tmp_path / "stack", **outside) as stack:
        stack.add_hive(tmp_path / "second", "second")
        model, _ = slow_model(files, size=32 << 20)
        job_id = stack.submit("model_download", {"all": True}, model=model)

        def both_run() -> bool:
            return all(has_bytes(stack, child["id"], 1 << 20) for child in stack.job(job_id)["children"])

        wait_for(both_run, "both run")
        for name in ("recorder", "web", "hive"):
            stack.wait_restarted(name, stack.kill(name))
        job = stack.wait_state(job_id, "completed", within=90)
        for child in job["children"]:
            assert_told_once(stack, child["id"])

    assert sorted(child["losses"] for child in job["children"]) == [0, 1]
