"""Turns a grant into a domain function's run, with all that this hive lends it."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

from hive.catalog import ModelCatalog
from hive.operations import OPERATIONS, Narrated, Work
from hive.operations.work import Fetches
from hive.queen_client import QueenClient
from hive.release import ReleaseJob
from hive.stop import Reason, Stop, Stopped
from hive.vendors import Vendors
from shared.errors import Conflict, Unavailable
from shared.narration import Said
from shared.plan import Plan
from shared.protocol import Grant, PlanReport

AGAIN = 2.0
"""Seconds between two tries to store a plan at a queen that does not answer."""


class Performs(Protocol):
    """What a runner needs of it: a domain function's generator for a grant, and what became of the artifact."""

    def perform(self, grant: Grant, stop: Stop) -> Narrated: ...

    def artifact(self, grant: Grant) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class Workshop:
    queen: QueenClient
    catalog: ModelCatalog
    downloader: Fetches
    vendors: Vendors

    def perform(self, grant: Grant, stop: Stop) -> Narrated:
        work = Work(
            params=grant.params,
            job_id=grant.job_id,
            stop=stop,
            catalog=self.catalog,
            downloader=self.downloader,
            vendors=self.vendors,
            plan=grant.plan,
            store_plan=lambda plan, size: self._store_plan(grant, stop, plan, size),
            secrets=grant.secrets,
        )
        return _checked(OPERATIONS[grant.operation](work), stop)

    def artifact(self, grant: Grant) -> dict[str, Any] | None:
        """What the job's model is on this hive now, as the inventory tells it."""
        model = grant.params.get("model")
        if model is None:
            return None
        entry = self.catalog.find(model)
        return entry.summary() if entry else {"kind": "model", "id": model, "status": "gone"}

    def _store_plan(self, grant: Grant, stop: Stop, plan: dict[str, Any], size: int | None) -> None:
        report = PlanReport(claim_id=grant.claim_id, plan=Plan.model_validate(plan), size=size)
        while True:
            try:
                self.queen.store_plan(grant.job_id, grant.attempt, report)
                return
            except Unavailable:
                stop.wait(AGAIN)
            except Conflict as refused:
                if refused.code == "no_room":
                    raise ReleaseJob(refused.message, code="no_room") from refused
                raise Stopped(Reason.LOST) from refused


def _checked(work: Narrated, stop: Stop) -> Generator[Said, None, dict[str, Any]]:
    """The same run, stopped before its first step when a stop was faster."""
    stop.check()
    return (yield from work)
