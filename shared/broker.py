"""How every program speaks to the broker: explicit timeouts, JSON only, queues that are plain lists.

Messages go to the anonymous exchange and queues are never declared, so kombu keeps no `_kombu.binding` tables
that any hive could rewrite. kombu's emulation of acknowledgements is off: it would bring back a message whose
work began, hours later, while the reconciler rings again for a lost one within seconds. That spares two round
trips a message, and a hive needs neither EVALSHA nor any key besides its queues.
"""

from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from shared.errors import Unavailable
from shared.routing import task_name
from shared.timing import MESSAGE_EXPIRES

SOCKET_TIMEOUT = 10.0
"""Seconds that an answer may take; without it a half-open connection hangs for ever."""
CONNECT_TIMEOUT = 5.0
PUBLISH_TIMEOUT = 2.0
"""Seconds for one try of a publisher, which somebody waits for."""
HEALTH_CHECK = 25
"""Seconds of silence after which a connection is tried with PING before it is used."""


def redis_client(url: str, *, blocking: float | None = None) -> Redis:
    """A client that returns bytes. `blocking` is the longest BLOCK, in seconds, that it will ask for.

    Connecting is tried three times within about a second; commands raise redis.exceptions.ConnectionError or
    TimeoutError. A command whose answer was lost is repeated too: send only what may run twice.
    """
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT + (blocking or 0.0),
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK,
        decode_responses=False,
        retry=Retry(ExponentialWithJitterBackoff(base=0.1, cap=0.5), 2),
        retry_on_error=[ConnectionError, TimeoutError],
    )


def celery_app(name: str, url: str, *, hive_id: str | None = None) -> Celery:
    """The Celery application of one program. With `hive_id` it consumes, without it only publishes."""
    app = Celery(name, set_as_current=False)
    app.conf.update(_CONFIGURATION)
    # Read and write are named apart because CELERY_BROKER_URL in the environment would win over `broker_url`.
    app.conf.update(broker_url=url, broker_read_url=url, broker_write_url=url)
    app.conf.broker_transport_options = _transport_options(name, consumes=hive_id is not None)
    return app


def consumer_queues(names: Iterable[str]) -> tuple[Queue, ...]:
    """For `app.conf.task_queues`, the most urgent first. A queue is the list of that name."""
    return tuple(_queue(name) for name in names)


def ring(
    app: Celery, operation: str, queue: str, job_id: str, attempt: int, *, expires: float = MESSAGE_EXPIRES
) -> None:
    """Tells the hives on `queue` that a job waits. Thread-safe. `expires` in seconds.

    Raises Unavailable within seconds when the broker does not answer; then the job simply stays queued.
    """
    try:
        app.send_task(
            task_name(operation),
            args=[{"job_id": job_id, "attempt": attempt}],
            queue=_queue(queue),
            expires=expires,
        )
    except (OperationalError, OSError) as error:
        raise Unavailable(
            "the broker does not answer", hint="The job stays queued and is rung again."
        ) from error


def _queue(name: str) -> Queue:
    anonymous = Exchange("", type="direct", no_declare=True)  # type: ignore[no-untyped-call]
    return Queue(name, anonymous, name, no_declare=True)  # type: ignore[no-untyped-call]


def _transport_options(name: str, *, consumes: bool) -> dict[str, Any]:
    return {
        "ack_emulation": False,
        "client_name": f"rbee-{name}",
        "health_check_interval": HEALTH_CHECK,
        "queue_order_strategy": "priority",
        "socket_connect_timeout": CONNECT_TIMEOUT if consumes else PUBLISH_TIMEOUT,
        "socket_keepalive": True,
        "socket_timeout": SOCKET_TIMEOUT if consumes else PUBLISH_TIMEOUT,
    }


_CONFIGURATION: dict[str, Any] = {
    "accept_content": ["json"],
    "broker_connection_max_retries": None,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_heartbeat": 0,
    "enable_utc": True,
    "result_backend": None,
    "task_acks_late": False,
    "task_default_queue": "rbee.nowhere",
    "task_ignore_result": True,
    "task_publish_retry": True,
    "task_publish_retry_policy": {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
    },
    "task_send_sent_event": False,
    "task_serializer": "json",
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # concerns late acks only; False warns
    "worker_disable_prefetch": True,
    "worker_enable_prefetch_count_reduction": False,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "worker_prefetch_multiplier": 1,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
}
