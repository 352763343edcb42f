"""What a hive does with attempts: lanes, the spool, outcomes that must arrive, a heartbeat that must not stop."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive.heartbeat import Heart, Machine
from hive.lanes import Lanes
from hive.narrator import Narrator
from hive.operations import Narrated
from hive.outbox import Due, Outbox
from hive.runner import UNTOLD, Runner
from hive.spool import Spool
from hive.stop import Stop
from shared.errors import Conflict, Unavailable
from shared.narration import Line
from shared.operations import Lane
from shared.protocol import (
    MAX_ATTEMPTS,
    ClaimRequest,
    Grant,
    Heartbeat,
    HeartbeatAnswer,
    HiveFacts,
    HiveSample,
    OutcomeReport,
)
from shared.states import Outcome
from tests.stack import wait_for

BOOT = "boot-0123456789abcdef"
FACTS = HiveFacts(
    platform="linux",
    arch="x86_64",
    capabilities=["cpu"],
    devices=[],
    memory_total=1,
    memory_available=1,
    disk_total=1,
    disk_free=1,
)


class FakeQueen:
    """Grants what it is given, keeps what it is told; `trouble` is raised once for each entry."""

    def __init__(self) -> None:
        self.waiting: list[Grant] = []
        self.reports: list[OutcomeReport] = []
        self.beats: list[Heartbeat] = []
        self.trouble: list[Exception] = []
        self.claims: list[str] = []

    def claim(self, request: ClaimRequest) -> list[Grant]:
        self.claims.append(request.claim_id)
        self._fail()
        return [self.waiting.pop(0).model_copy(update={"claim_id": request.claim_id})] if self.waiting else []

    def finish(self, job_id: str, attempt: int, report: OutcomeReport) -> list[Grant]:
        self._fail()
        self.reports.append(report)
        return self.claim(report.next) if report.next else []

    def heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        self.beats.append(beat)
        self._fail()
        return HeartbeatAnswer()

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)


class Says:
    """A workshop whose work is one line."""

    def perform(self, grant: Grant, stop: Stop) -> Narrated:
        yield Line("Works.")
        stop.check()
        return {"done": True}

    def artifact(self, grant: Grant) -> dict[str, Any] | None:
        return None


class NoRedis:
    """A broker that takes nothing: narration stays in the spool."""

    def pipeline(self, transaction: bool) -> "NoRedis":
        return self

    def xadd(self, *_: object, **__: object) -> None:
        """Forgets."""

    def execute(self) -> None:
        """Says nothing."""


def grant(number: int) -> Grant:
    return Grant(
        job_id=f"job-{number:032x}",
        attempt=1,
        claim_id="",
        operation="model_verify",
        params={"model": "o/r"},
        lease=30,
    )


def report(outcome: Outcome = Outcome.COMPLETED) -> OutcomeReport:
    return OutcomeReport(claim_id=f"claim-{1:024x}", outcome=outcome, last_seq=1)


@pytest.fixture
def queen() -> FakeQueen:
    return FakeQueen()


@pytest.fixture
def runner(queen: FakeQueen, tmp_path: Path) -> Iterator[Runner]:
    narrator = Narrator(NoRedis(), "0" * 16, tmp_path / "narration")  # type: ignore[arg-type]
    narrator.start()
    outbox = Outbox(tmp_path / "outbox", queen)  # type: ignore[arg-type]
    yield Runner(queen, narrator, outbox, Says(), boot_id=BOOT, lanes=Lanes())  # type: ignore[arg-type]
    narrator.close()


def test_one_claim_leads_to_the_next_job_of_its_lane(queen: FakeQueen, runner: Runner) -> None:
    queen.waiting = [grant(number) for number in range(5)]

    runner.ring("model_verify", grant(0).job_id, 1)

    assert [one.outcome for one in queen.reports] == [Outcome.COMPLETED] * 5
    assert [one.last_seq for one in queen.reports] == [1] * 5


def test_a_full_lane_is_not_waited_for(queen: FakeQueen, runner: Runner) -> None:
    runner._lanes.take(Lane.OTHER, 4)

    runner.ring("model_verify", grant(0).job_id, 1)

    assert queen.claims == []


def test_a_claim_whose_answer_was_lost_is_asked_again_by_the_same_id(
    queen: FakeQueen, runner: Runner
) -> None:
    queen.waiting = [grant(0)]
    queen.trouble = [Unavailable("gone"), Unavailable("gone")]

    runner.ring("model_verify", grant(0).job_id, 1)

    assert len(set(queen.claims[:3])) == 1
    assert len(queen.reports) == 1


def test_many_ended_jobs_are_asked_after_soon_and_fit_into_a_heartbeat(
    queen: FakeQueen, runner: Runner
) -> None:
    asked = threading.Event()
    runner.on_backlog = asked.set
    queen.waiting = [grant(number) for number in range(MAX_ATTEMPTS + 10)]

    runner.ring("model_verify", grant(0).job_id, 1)

    assert asked.is_set()
    assert len(runner.attempts()) == MAX_ATTEMPTS > UNTOLD
    for number in range(MAX_ATTEMPTS + 10):
        runner.recorded(grant(number).job_id, 1)
    assert runner.attempts() == []


def test_an_outcome_is_repeated_until_it_is_acknowledged(queen: FakeQueen, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, queen)  # type: ignore[arg-type]
    queen.trouble = [Unavailable("down"), Unavailable("down")]

    outbox.deliver(Due("job-1", 1, report()))

    assert len(queen.reports) == 1
    assert outbox.left_over() == []


def test_an_outcome_outlives_the_process(queen: FakeQueen, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, queen)  # type: ignore[arg-type]
    outbox.close()
    queen.trouble = [Unavailable("down")]
    told = report().model_copy(
        update={"next": ClaimRequest(claim_id=f"claim-{2:024x}", boot_id=BOOT, lanes={Lane.OTHER: 1})}
    )
    outbox.deliver(Due("job-1", 1, told))

    (due,) = Outbox(tmp_path, queen).left_over()  # type: ignore[arg-type]

    assert (due.job_id, due.attempt, due.report) == ("job-1", 1, report())


def test_a_refused_outcome_is_forgotten(queen: FakeQueen, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, queen)  # type: ignore[arg-type]
    queen.trouble = [Conflict("over", code="stale_attempt")]

    outbox.deliver(Due("job-1", 1, report()))

    assert outbox.left_over() == []


def test_a_torn_last_line_of_a_spool_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    spool = Spool(path)
    for seq in (1, 2, 3):
        spool.append({"seq": seq})
    spool.close()
    path.write_text(path.read_text() + '{"seq": 4')

    assert list(Spool(path).after(1)) == ['{"seq":2}', '{"seq":3}']


def test_the_heart_goes_on_beating_after_an_error_nobody_foresaw(queen: FakeQueen, runner: Runner) -> None:
    machine = Machine(
        facts=lambda: FACTS,
        sample=lambda: HiveSample(memory_available=1, disk_free=1),
        version=lambda: 1,
        artifacts=list,
    )
    queen.trouble = [ValueError("unforeseen")]
    heart = Heart(queen, runner, machine, boot_id=BOOT, previous_boot_id=None, refused=lambda _: None)  # type: ignore[arg-type]

    heart.start()
    wait_for(lambda: len(queen.beats) == 1, "the first beat")
    wait_for(lambda: (heart.beat_soon(), len(queen.beats) >= 2)[1], "it beats again")
    heart.stop()

    assert queen.beats[1].first
    assert queen.beats[1].facts == FACTS


@pytest.mark.parametrize("code", ["identity_in_use", "removed"])
def test_a_refused_identity_is_told_once(queen: FakeQueen, runner: Runner, code: str) -> None:
    told: list[str] = []
    machine = Machine(
        facts=lambda: FACTS,
        sample=lambda: HiveSample(memory_available=1, disk_free=1),
        version=lambda: 1,
        artifacts=list,
    )
    queen.trouble = [Conflict("It is somebody else's.", code=code)]
    heart = Heart(queen, runner, machine, boot_id=BOOT, previous_boot_id=None, refused=told.append)  # type: ignore[arg-type]

    heart.start()
    wait_for(lambda: told, "the refusal is told")
    heart.stop()

    assert told == ["It is somebody else's."]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_does_not_silence_an_attempt() -> None:
    spool = Spool(Path("/dev/full"))

    for seq in (1, 2, 3):
        spool.append({"seq": seq})
    spool.sync()

    assert list(spool.after(0)) == ['{"seq":1}', '{"seq":2}', '{"seq":3}']
    assert list(spool.after(2)) == ['{"seq":3}']
    spool.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_lines_from_before_and_after_the_disk_was_full_are_told_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    spool.append({"seq": 1})
    kept, spool._file = spool._file, Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115
    spool.append({"seq": 2})
    spool.close()
    spool._file = kept
    spool.append({"seq": 3})

    assert list(spool.after(0)) == ['{"seq":1}', '{"seq":2}', '{"seq":3}']
    assert list(spool.after(1)) == ['{"seq":2}', '{"seq":3}']
    spool.close()


def test_an_outcome_is_told_even_where_it_cannot_be_kept(queen: FakeQueen, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "gone", queen)  # type: ignore[arg-type]
    (tmp_path / "gone").rmdir()
    queen.trouble = [Unavailable("down")]

    outbox.deliver(Due("job-1", 1, report()))

    assert len(queen.reports) == 1


def test_an_attempt_that_a_fault_ended_is_not_renewed_for_ever(queen: FakeQueen, runner: Runner) -> None:
    queen.waiting = [grant(0)]
    queen.trouble = []
    fault = OSError("unforeseen")

    def fail(*_: object) -> list[Grant]:
        raise fault

    queen.finish = fail  # type: ignore[method-assign]

    with pytest.raises(OSError, match="unforeseen"):
        runner.ring("model_verify", grant(0).job_id, 1)

    assert runner.attempts() == []
    assert runner._lanes.take(Lane.OTHER, 4) == 4
