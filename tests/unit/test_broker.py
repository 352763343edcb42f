"""How programs speak to the broker, without one: what is configured, and what the environment cannot change."""

import socket
import time

import pytest
from redis.exceptions import ConnectionError

from shared.broker import celery_app, consumer_queues, redis_client, ring
from shared.errors import Unavailable

URL = "redis://queen:pw@127.0.0.1:1/0"


@pytest.fixture
def nobody() -> str:
    """The URL of a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


def test_every_client_has_timeouts_and_a_blocking_one_waits_longer_than_it_blocks() -> None:
    plain = redis_client(URL).connection_pool.connection_kwargs
    blocking = redis_client(URL, blocking=30).connection_pool.connection_kwargs

    assert (plain["socket_timeout"], plain["socket_connect_timeout"]) == (10, 5)
    assert blocking["socket_timeout"] == 40
    assert plain["socket_keepalive"]
    assert plain["decode_responses"] is False


def test_a_client_says_within_a_second_that_nobody_is_there(nobody: str) -> None:
    began = time.monotonic()

    with pytest.raises(ConnectionError):
        redis_client(nobody).ping()

    assert time.monotonic() - began < 5


def test_a_ring_that_nobody_hears_is_unavailable_and_tells_no_password(nobody: str) -> None:
    with pytest.raises(Unavailable) as caught:
        ring(
            celery_app("queen", nobody.replace("//", "//queen:hunter2@")), "model_download", "cpu", "job-1", 1
        )

    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


def test_a_worker_takes_json_only_keeps_no_results_and_hoards_nothing() -> None:
    conf = celery_app("hive", URL, hive_id="0" * 16).conf

    assert conf.accept_content == ["json"]
    assert conf.result_backend is None
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.worker_disable_prefetch) == (
        False,
        1,
        True,
    )
    assert (conf.worker_enable_remote_control, conf.worker_send_task_events) == (False, False)
    assert conf.broker_connection_max_retries is None
    assert conf.worker_hijack_root_logger is False


def test_who_only_publishes_waits_shorter() -> None:
    options = [celery_app("x", URL, hive_id=hive).conf.broker_transport_options for hive in ("0" * 16, None)]

    assert [one["socket_timeout"] for one in options] == [10, 2]
    assert {one["ack_emulation"] for one in options} == {False}


def test_the_environment_of_another_celery_does_not_move_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere")

    app = celery_app("queen", URL)

    assert (app.conf.broker_read_url, app.conf.broker_write_url) == (URL, URL)
    assert app.connection_for_write().hostname == app.connection_for_read().hostname == "127.0.0.1"


def test_queues_are_consumed_in_the_order_given_and_never_declared() -> None:
    queues = consumer_queues(["hive.0", "cuda"])

    assert [queue.name for queue in queues] == ["hive.0", "cuda"]
    assert all(queue.no_declare and queue.exchange.name == "" for queue in queues)
