"""A hive's broker user against the real server: what its Celery worker needs works, all else is refused."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError, ResponseError

from queen import broker_acl, broker_server
from queen.settings import QueenSettings
from shared.broker import celery_app, redis_client, ring
from shared.errors import Unavailable
from shared.ids import new_hive_id, new_job_id
from shared.routing import LIVE_CHANNEL, control_channel, hive_queue, narration_stream

HIVE = new_hive_id()
OTHER = new_hive_id()
PASSWORD = "the-password-of-this-hive"

WORKER = """
import sys
from shared.broker import celery_app, consumer_queues

url, hive_id = sys.argv[1:]
app = celery_app("hive", url, hive_id=hive_id)
app.conf.task_queues = consumer_queues([f"hive.{hive_id}", "cuda"])

@app.task(name="rbee.model_download")
def model_download(message):
    print(message["job_id"], message["attempt"], flush=True)

quiet = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel=error"]
app.worker_main(["--quiet", "worker", "--pool=threads", "--concurrency=2", *quiet])
"""


@contextlib.contextmanager
def running_broker(settings: QueenSettings) -> Iterator[str]:
    broker_server.write_config(settings)
    server = subprocess.Popen(broker_server.argv(broker_server.find_server(), settings))
    try:
        assert broker_server.wait_ready(broker_server.broker_url(settings), 10)
        yield broker_server.broker_url(settings)
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> QueenSettings:
    return QueenSettings.load(data_dir=tmp_path_factory.mktemp('a "folder" with blanks'))


@pytest.fixture(scope="module")
def url(settings: QueenSettings) -> Iterator[str]:
    with running_broker(settings) as url:
        yield url


@pytest.fixture(scope="module")
def queen(url: str) -> Redis:
    client = redis_client(url)
    for hive_id in (HIVE, OTHER):
        digest = broker_acl.password_sha256(PASSWORD if hive_id == HIVE else "another")
        broker_acl.apply(client, hive_id, ["cuda"], digest)
    broker_acl.save(client)
    return client


@pytest.fixture(scope="module")
def hive_url(url: str, queen: Redis) -> str:
    return broker_server.url_of_user(url, broker_acl.hive_user(HIVE), PASSWORD)


@pytest.fixture
def hive(hive_url: str) -> Iterator[Redis]:
    with redis_client(hive_url) as client:
        yield client


def test_a_hives_worker_takes_from_its_queue_and_its_capability_and_leaves_nothing_else_behind(
    url: str, queen: Redis, hive_url: str
) -> None:
    app = celery_app("queen", url)
    own, shared = new_job_id(), new_job_id()
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, hive_url, HIVE], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout

    try:
        ring(app, "model_download", hive_queue(HIVE), own, 1)
        first = worker.stdout.readline()
        ring(app, "model_download", "cuda", shared, 2)
        second = worker.stdout.readline()
        queen.execute_command("CLIENT", "KILL", "USER", broker_acl.hive_user(HIVE))
        ring(app, "model_download", hive_queue(HIVE), own, 3)
        after_reconnect = worker.stdout.readline()
        keys = queen.keys()
        denials = queen.acl_log()
    finally:
        worker.terminate()
        exit_code = worker.wait(10)

    assert (first, second, after_reconnect) == (f"{own} 1\n", f"{shared} 2\n", f"{own} 3\n")
    assert keys == []
    assert exit_code == 0
    assert denials == []


def test_a_hive_adds_to_its_narration_and_hears_its_control_channel(queen: Redis, hive: Redis) -> None:
    control = hive.pubsub()
    control.subscribe(control_channel(HIVE))
    assert control.get_message(timeout=5)["type"] == "subscribe"

    hive.xadd(narration_stream(HIVE), {"e": "{}"}, maxlen=1000, approximate=True)
    queen.publish(control_channel(HIVE), "stop")

    assert queen.xlen(narration_stream(HIVE)) == 1
    assert control.get_message(timeout=5)["data"] == b"stop"
    control.close()


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", narration_stream(OTHER), "*", "e", "{}"),
        ("XADD", narration_stream("*"), "*", "e", "{}"),
        ("XRANGE", narration_stream(HIVE), "-", "+"),
        ("XREAD", "STREAMS", narration_stream(OTHER), "0"),
        ("XTRIM", narration_stream(HIVE), "MAXLEN", "0"),
        ("BRPOP", hive_queue(OTHER), "0.01"),
        ("BRPOP", hive_queue(HIVE), hive_queue(OTHER), "0.01"),
        ("BRPOP", "metal", "0.01"),
        ("BRPOP", f"{hive_queue(HIVE)}x", "0.01"),
        ("BRPOP", narration_stream(HIVE), "0.01"),
        ("LPUSH", hive_queue(OTHER), "{}"),
        ("LPUSH", hive_queue(HIVE), "{}"),
        ("LPUSH", "cuda", "{}"),
        ("PUBLISH", control_channel(HIVE), "x"),
        ("PUBLISH", control_channel(OTHER), "x"),
        ("PUBLISH", LIVE_CHANNEL, "x"),
        ("SUBSCRIBE", control_channel(OTHER)),
        ("SUBSCRIBE", LIVE_CHANNEL),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", "rbee:control:*"),
        ("SADD", "_kombu.binding.x", "y"),
        ("GET", "x"),
        ("SET", "x", "y"),
        ("DEL", hive_queue(HIVE)),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("EVAL", "return 1", "0"),
        ("EVALSHA", "0" * 40, "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("FUNCTION", "LIST"),
        ("MULTI",),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("ACL", "WHOAMI"),
        ("ACL", "SETUSER", "x"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("MONITOR",),
        ("INFO",),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SAVE",),
        ("REPLICAOF", "NO", "ONE"),
        ("MIGRATE", "h", "1", "k", "0", "1"),
        ("SHUTDOWN",),
    ],
    ids=" ".join,
)
def test_everything_else_is_refused_to_a_hive(hive: Redis, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        hive.execute_command(*command)


def test_nobody_is_let_in_without_a_password(url: str) -> None:
    address = url.rpartition("@")[2]

    for login in ("", "default:@", ":x@", "queen:wrong@", f"{broker_acl.hive_user(HIVE)}:another@"):
        with redis_client(f"redis://{login}{address}") as stranger:
            with pytest.raises((AuthenticationError, ResponseError)):
                stranger.ping()


def test_new_capabilities_replace_the_old_ones_and_connections_stay(queen: Redis, hive: Redis) -> None:
    digest = broker_acl.password_sha256(PASSWORD)
    queen.delete("cuda")
    assert hive.brpop(["cuda"], timeout=0.01) is None

    broker_acl.apply(queen, HIVE, ["metal"], digest)

    assert hive.brpop(["metal"], timeout=0.01) is None
    with pytest.raises(NoPermissionError):
        hive.brpop(["cuda"], timeout=0.01)
    broker_acl.apply(queen, HIVE, ["cuda"], digest)


def test_a_removed_hive_is_cut_off_at_once(url: str, queen: Redis) -> None:
    gone = new_hive_id()
    broker_acl.apply(queen, gone, ["cpu"], broker_acl.password_sha256("x"))
    client = redis_client(broker_server.url_of_user(url, broker_acl.hive_user(gone), "x"))
    assert client.ping()
    queen.lpush(hive_queue(gone), "{}")

    broker_acl.remove(queen, gone)

    with pytest.raises((ConnectionError, ResponseError)):
        client.ping()
    assert not queen.exists(hive_queue(gone))
    client.close()


def test_hives_password_and_port_survive_a_restart_and_no_password_lies_in_the_acl_file(
    tmp_path: Path,
) -> None:
    settings = QueenSettings.load(data_dir=tmp_path)
    with running_broker(settings) as first, redis_client(first) as queen:
        broker_acl.apply(queen, HIVE, ["cpu"], broker_acl.password_sha256(PASSWORD))
        broker_acl.save(queen)
        queen.xadd(narration_stream(HIVE), {"e": "{}"})
        queen.execute_command("WAITAOF", 1, 0, 5000)

    with running_broker(settings) as second, redis_client(second) as queen:
        hive_url = broker_server.url_of_user(second, broker_acl.hive_user(HIVE), PASSWORD)
        with redis_client(hive_url) as hive:
            assert hive.ping()
        assert queen.xlen(narration_stream(HIVE)) == 1

    assert first == second
    folder = broker_server.broker_dir(settings)
    assert PASSWORD not in (folder / "users.acl").read_text()
    assert (folder / "password").read_text() not in (folder / "users.acl").read_text()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "password").stat().st_mode & 0o777 == 0o600


def test_rings_from_many_threads_arrive_as_plain_lists_and_no_binding_is_kept(url: str, queen: Redis) -> None:
    app = celery_app("queen", url)

    with ThreadPoolExecutor(20) as pool:
        for attempt in range(200):
            pool.submit(ring, app, "model_download", "metal", new_job_id(), attempt)

    assert queen.llen("metal") == 200
    assert set(queen.keys()) <= {b"metal", narration_stream(HIVE).encode()}
    queen.delete("metal")


def test_a_ring_at_a_dead_broker_fails_within_seconds(tmp_path: Path) -> None:
    settings = QueenSettings.load(data_dir=tmp_path)
    with running_broker(settings) as url:
        app = celery_app("queen", url)
        ring(app, "model_download", "cpu", new_job_id(), 1)

    began = time.monotonic()
    with pytest.raises(Unavailable):
        ring(app, "model_download", "cpu", new_job_id(), 1)
    assert time.monotonic() - began < 5
