"""Telling after COMMIT: in order, to the right ears, and never in anybody's way."""

import json
import time
from typing import Any

import pytest
from redis import Redis

from queen.settings import QueenSettings
from queen.tales import Control, Live, LiveHive, LiveProgress, Ring
from queen.telling import Teller
from shared.broker import celery_app, redis_client
from shared.routing import LIVE_CHANNEL, control_channel, hive_queue
from tests.stack import free_port, wait_for


@pytest.fixture
def teller(broker: tuple[QueenSettings, str]) -> Teller:
    return Teller(redis_client(broker[1]), celery_app("test", broker[1]))


def test_each_tale_goes_where_it_belongs(teller: Teller, redis: Redis) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(LIVE_CHANNEL, control_channel("h"))
        wait_for(lambda: redis.pubsub_numsub(control_channel("h"))[0][1], "the ears are open", 5)

        teller(
            [
                Live([{"id": 7}], 6),
                Control("h", "cancel", "job-1", 2),
                Ring("model_download", hive_queue("h"), "job-1", 2),
            ]
        )
        teller([LiveProgress({"job_id": "job-1"}), LiveHive("h")])
        teller.close()
        heard: list[tuple[str, Any]] = []

        def listen() -> bool:
            if message := ears.get_message(timeout=0.2):
                heard.append((message["channel"].decode(), json.loads(message["data"])))
            return len(heard) == 4

        wait_for(listen, "all is heard", 10)

    live = [said for channel, said in heard if channel == LIVE_CHANNEL]
    assert live == [{"events": [{"id": 7}], "prev": 6}, {"progress": {"job_id": "job-1"}}, {"hive": "h"}]
    assert [said for channel, said in heard if channel != LIVE_CHANNEL] == [
        {"word": "cancel", "job_id": "job-1", "attempt": 2}
    ]
    rung = redis.lrange(hive_queue("h"), 0, -1)
    assert len(rung) == 1
    assert b"secret" not in rung[0]


def test_a_broker_that_is_away_delays_nobody(redis: Redis) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    teller = Teller(redis_client(nowhere), celery_app("test", nowhere))
    begun = time.monotonic()

    for _ in range(100):
        teller([LiveHive("h")])

    assert time.monotonic() - begun < 0.5


def test_a_thread_that_died_is_replaced(teller: Teller, redis: Redis) -> None:
    teller([LiveHive("h")])
    teller.close()

    teller([Ring("model_download", hive_queue("h"), "job-1", 1)])

    wait_for(lambda: redis.llen(hive_queue("h")) == 1, "it is rung", 5)
