"""What is on disk stays worth its bytes: after a stop, kill -9, a power cut, another host version, another plan."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hive.download import STATE
from hive.stop import Reason, Stopped
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(16 * MIB)


def pause(rig: Rig, server: FileServer, done: int, **more: object) -> None:
    """Fetches until `done` bytes are here and hardly more, then pauses."""
    served = server.files["m"]
    served.hold_at = done + 2 * MIB
    job = rig.fetch_until(done, planned(server.url("m"), BODY, **more))
    rig.stop.set(Reason.PAUSE)
    with pytest.raises(Stopped):
        list(job)
    served.hold_at = None


def state_file(rig: Rig, suffix: str) -> Path:
    [found] = (rig.folder / STATE).glob(f"*{suffix}")
    return found


def test_a_paused_download_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)
    pause(Rig(tmp_path), server, 8 * MIB)
    before = served.sent
    served.requests = []
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert served.sent - before < len(BODY) - 7 * MIB
    assert rig.lines[0].startswith("Resumes a-model with ")
    assert rig.progress[0].done >= 7 * MIB
    assert {request.headers.get("If-Range") for request in served.requests} == {'"v1"'}


def test_a_file_without_a_published_hash_resumes_by_its_etag(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)
    pause(Rig(tmp_path), server, 8 * MIB, sha256=None)
    before = served.sent
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY, sha256=None))

    assert rig.read() == BODY
    assert served.sent - before < len(BODY) - 7 * MIB


@pytest.mark.parametrize("known", [True, False])
def test_another_version_at_the_host_is_never_mixed_in(
    server: FileServer, tmp_path: Path, known: bool
) -> None:
    hash_or_not = {} if known else {"sha256": None}
    served = server.add("m", noise(len(BODY), seed=9), etag='"old"')
    pause(Rig(tmp_path), server, 4 * MIB, **hash_or_not)
    served.body, served.etag = BODY, '"new"'
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY, **hash_or_not))

    assert rig.read() == BODY
    assert rig.said("the file changed at its source; starts again")


def test_without_hash_and_validators_nothing_old_is_trusted(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", noise(len(BODY), seed=9), etag=None)
    pause(Rig(tmp_path), server, 4 * MIB, sha256=None)
    served.body = BODY
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY, sha256=None))

    assert rig.read() == BODY


def test_a_plan_of_other_content_starts_afresh(server: FileServer, tmp_path: Path) -> None:
    server.add("m", noise(len(BODY), seed=9))
    pause(Rig(tmp_path), server, 4 * MIB, sha256="0" * 64)
    server.add("m", BODY)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.lines[0].startswith("Fetches")


@pytest.mark.parametrize("damage", ["zeros", "torn map", "short data", "nonsense map", "no data", "no map"])
def test_a_power_cut_costs_only_what_it_took(server: FileServer, tmp_path: Path, damage: str) -> None:
    served = server.add("m", BODY)
    first = Rig(tmp_path)
    pause(first, server, 8 * MIB)
    part, record = state_file(first, ".part"), state_file(first, ".map")
    lines = [line.split() for line in record.read_text().splitlines() if line.startswith("+")]
    start = int(lines[2][1])
    match damage:
        case "zeros":
            with part.open("r+b") as data:
                data.seek(start + 1000)
                data.write(bytes(4096))
        case "torn map":
            record.write_bytes(record.read_bytes()[:-5])
        case "short data":
            os.truncate(part, 3 * MIB)
        case "nonsense map":
            record.write_bytes(record.read_bytes() + b"\0" * 4096 + b"\n+ 5 -7 zz\n+ 1 2\n\xff\n")
        case "no data":
            part.unlink()
        case "no map":
            record.unlink()
    before = served.sent
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    limits = {"zeros": 10, "torn map": 10, "short data": 16, "nonsense map": 10, "no data": 17, "no map": 17}
    assert served.sent - before < limits[damage] * MIB
    assert rig.said("damaged and were fetched again") == (damage == "zeros")


def test_kill_9_costs_at_most_the_pieces_in_flight(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY, rate=2 * MIB)
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from tests.hubs.download_rig import Rig, planned
        rig = Rig(Path(sys.argv[1]))
        rig.fetch_until(9 << 20, planned(sys.argv[2], None, size=int(sys.argv[3]), sha256=sys.argv[4]))
        print("here", flush=True)
        sys.stdin.read()
        """
    )
    file = planned(server.url("m"), BODY)
    command = [sys.executable, "-c", script, str(tmp_path), file.url, str(file.size), str(file.sha256)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    server.wait_until_idle(5)
    rig = Rig(tmp_path)
    served.rate, before = None, served.sent

    rig.fetch(file)

    assert rig.read() == BODY
    refetched = served.sent - before
    assert refetched < len(BODY) - 9 * MIB + 8 * MIB + MIB // 2


def test_kill_9_again_and_again_still_ends(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY, rate=3 * MIB)
    file = planned(server.url("m"), BODY)
    for count in range(4):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                Rig(tmp_path).fetch_until((count + 1) * 3 * MIB, file)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    rig = Rig(tmp_path)

    rig.fetch(file)

    assert rig.read() == BODY
    assert served.sent < 3 * len(BODY)


def test_verified_files_of_a_set_are_neither_fetched_nor_hashed_again(
    server: FileServer, tmp_path: Path
) -> None:
    bodies = {f"f{number}": noise(6 * MIB, number) for number in range(4)}
    for path, body in bodies.items():
        server.add(path, body)
    server.files["f3"].rate = 500_000
    files = [planned(server.url(path), body, path=path) for path, body in bodies.items()]
    first = Rig(tmp_path)
    job = first.fetch_until(18 * MIB + MIB // 2, *files)
    for _ in job:
        if all((first.folder / path).exists() for path in ("f0", "f1", "f2")):
            break
    job.close()
    server.files["f3"].rate = None
    sent = {path: served.sent for path, served in server.files.items()}
    rig = Rig(tmp_path)

    fetched = rig.fetch(*files)

    assert [file.path for file in fetched] == list(bodies)
    assert all(rig.read(path) == body for path, body in bodies.items())
    assert {path for path, served in server.files.items() if served.sent > sent[path]} == {"f3"}
    assert "3 of 4 files verified" in rig.lines[0]


def test_everything_finished_needs_no_host_at_all(tmp_path: Path) -> None:
    with FileServer() as server:
        server.add("m", BODY)
        file = planned(server.url("m"), BODY)
        Rig(tmp_path).fetch(file)

    [again] = Rig(tmp_path).fetch(file)

    assert again.sha256 == file.sha256


def test_a_finished_file_that_was_touched_is_fetched_again(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY)
    file = planned(server.url("m"), BODY)
    rig = Rig(tmp_path)
    rig.fetch(file)
    (rig.folder / "model.gguf").write_bytes(b"x" * len(BODY))

    rig.fetch(file)

    assert rig.read() == BODY


def test_a_crash_between_name_and_record_costs_a_hash_and_no_byte(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)
    first = Rig(tmp_path)
    pause(first, server, 8 * MIB)
    second = Rig(tmp_path)
    record = state_file(first, ".map")
    kept = record.with_suffix(".kept")
    job = second.start(planned(server.url("m"), BODY))
    for _ in job:
        if record.exists():
            kept.unlink(missing_ok=True)
            kept.hardlink_to(record)
    kept.rename(record)
    (second.folder / STATE / "finished").unlink()
    before = served.sent
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert served.sent == before


def test_a_local_copy_resumes_too(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(BODY)
    first = Rig(tmp_path)
    job = first.fetch_until(4 * MIB, planned(source.as_uri(), BODY), bandwidth=16 * MIB)
    job.close()
    rig = Rig(tmp_path)

    rig.fetch(planned(source.as_uri(), BODY))

    assert rig.read() == BODY
    assert rig.lines[0].startswith("Resumes")


def test_a_file_that_the_plan_no_longer_names_goes(server: FileServer, tmp_path: Path) -> None:
    server.add("m", BODY)
    server.add("n", BODY)
    rig = Rig(tmp_path)
    rig.fetch(planned(server.url("m"), BODY, path="old/a.gguf"))
    mine = rig.folder / "not-ours"
    mine.touch()

    rig.fetch(planned(server.url("n"), BODY, path="b.gguf"))

    assert not (rig.folder / "old").exists()
    assert rig.read("b.gguf") == BODY
    assert mine.exists()
