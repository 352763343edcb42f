"""A disk that is full, before or during a download: a clean failure, and what arrived is kept."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hive.disk import Disk
from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(12 * MIB)
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def test_a_download_that_does_not_fit_asks_nobody(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)
    disk = Disk(tmp_path)
    rig = Rig(tmp_path, disk=disk)

    with disk.reserve(disk.free() - 80 * MIB), pytest.raises(JobFailed) as failed:
        rig.fetch(planned(server.url("m"), BODY, size=100 * MIB))

    assert failed.value.code == "disk_full"
    assert served.requests == []
    assert disk.reserved == 0


def test_a_size_that_only_the_host_knows_is_checked_too(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY)
    disk = Disk(tmp_path, margin=0)
    rig = Rig(tmp_path, disk=disk)

    with disk.reserve(disk.free() - 6 * MIB), pytest.raises(JobFailed) as failed:
        rig.fetch(planned(server.url("m"), None))

    assert failed.value.code == "disk_full"


def test_two_downloads_do_not_promise_the_same_room(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY, rate=MIB)
    disk = Disk(tmp_path, margin=0)
    job = Rig(tmp_path / "one", disk=disk).start(planned("file:///dev/null", None, size=disk.free() * 2 // 3))

    with pytest.raises(JobFailed) as failed:
        next(job)
        with disk.reserve(disk.free() * 2 // 3):
            next(job)

    assert failed.value.code == "disk_full"


@pytest.mark.parametrize("known", [True, False])
def test_a_disk_that_fills_up_fails_the_job_cleanly(server: FileServer, tmp_path: Path, known: bool) -> None:
    if subprocess.run([*IN_A_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces: unshare --map-root-user --mount")
    server.add("m", BODY, ranges=known, chunked=not known)
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from hive.disk import Disk
        from shared.errors import JobFailed
        from tests.hubs.download_rig import Rig, leftovers, planned

        class Optimist(Disk):
            def free(self):
                return 1 << 40

        folder, url, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
        rig = Rig(folder, disk=Optimist(folder))
        try:
            rig.fetch(planned(url, None, size=size or None))
        except JobFailed as failed:
            kept = sum(part.stat().st_size for part in rig.folder.rglob("*.part"))
            print(failed.code, kept > 0, leftovers() == ([], []))
        """
    )
    mount = f'mount -t tmpfs -o size=8m none {tmp_path} && exec "$@"'
    arguments = [str(tmp_path), server.url("m"), str(len(BODY) if known else 0)]
    command = [*IN_A_NAMESPACE, "sh", "-c", mount, "sh", sys.executable, "-c", script, *arguments]

    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])

    assert done.stdout.split() == ["disk_full", str(not known), "True"]
