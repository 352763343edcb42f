"""The scenarios, in the order they run."""

from collections.abc import Callable

from bench.context import Context
from bench.report import Outcome
from bench.scenarios import (
    cancel,
    download,
    download_throttled,
    first_event,
    fleet,
    idle_memory,
    no_op_jobs,
    sse,
)

Scenario = Callable[[Context], Outcome]

SCENARIOS: dict[str, Scenario] = {
    "idle_memory": idle_memory.run,
    "first_event": first_event.run,
    "cancel": cancel.run,
    "download": download.run,
    "download_throttled": download_throttled.run,
    "no_op_jobs": no_op_jobs.run,
    "sse": sse.run,
    "fleet": fleet.run,
}
