"""The doorways: a Celery task for each operation. A task names the work; the claim decides, the runner does it."""

from typing import Any

from celery import Celery

from hive.runner import Runner
from shared.operations import OPERATIONS
from shared.routing import task_name


def register(app: Celery, runner: Runner) -> None:
    for operation in OPERATIONS:
        app.task(_doorway(runner, operation), name=task_name(operation), ignore_result=True)


def _doorway(runner: Runner, operation: str):  # type: ignore[no-untyped-def]
    def ring(message: dict[str, Any]) -> None:
        runner.ring(operation, message["job_id"], message["attempt"])

    return ring
