"""Any mixture of faults, files and restarts ends in the right bytes, with no thread and no socket left."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hive.stop import Reason, Stop, Stopped
from shared.narration import Progress
from shared.plan import PlannedFile
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import Exchange, FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

FAULTS = ("cut", "cut at once", "500", "429", "whole", "stall", "drip", "short part")


def chaos(seed: int, per_cent: int) -> Callable[[Exchange], bool | None]:
    """Spoils that share of all requests, each in a way of its own."""
    dice = random.Random(seed)

    def spoil(exchange: Exchange) -> bool | None:
        if dice.randrange(100) >= per_cent:
            return None
        match dice.choice(FAULTS):
            case "cut":
                exchange.cut_after = dice.randrange(1, 2 * MIB)
            case "cut at once":
                return exchange.hang_up()
            case "500":
                return exchange.reply(500)
            case "429":
                return exchange.reply(429, {"Retry-After": "0"})
            case "whole":
                exchange.request.range = None
            case "stall":
                exchange.stall_after = dice.randrange(MIB)
            case "drip":
                exchange.rate = 2_000_000
            case "short part" if exchange.request.range:
                first, last = exchange.request.range
                exchange.request.range = (first, min(first + dice.randrange(1, MIB), last or first))
        return None

    return spoil


def offer(server: FileServer, dice: random.Random) -> tuple[list[PlannedFile], dict[str, bytes]]:
    files, bodies = [], {}
    for number in range(dice.choice([1, 1, 2, 6])):
        body = noise(dice.choice([0, 1, 5000, 3 * MIB, 5 * MIB, 11 * MIB]), number)
        path = f"d{number % 2}/f{number}"
        served = server.add(path, body, rate=dice.choice([None, 30 * MIB]))
        served.ranges = dice.random() < 0.9
        served.etag = dice.choice(['"v1"', None])
        served.hook = chaos(dice.randrange(1 << 30), dice.choice([0, 10, 40]))
        files.append(planned(server.url(path), body, path=path))
        bodies[path] = body
    return files, bodies


@pytest.mark.parametrize("seed", range(8))
def test_chaos_ends_in_the_right_bytes(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with FileServer() as server:
        files, bodies = offer(server, dice)
        rig = Rig(tmp_path, stall_timeout=0.3, retries=50, connections=dice.choice([1, 3, 8]))

        for _ in range(dice.randrange(3)):
            rig.stop = Stop()
            limit = dice.randrange(1, 12 * MIB)
            with pytest.raises(Stopped):
                for said in rig.start(*files):
                    if isinstance(said, Progress) and said.done >= limit:
                        break
                rig.stop.set(Reason.PAUSE)
                rig.stop.check()
        rig.stop = Stop()
        fetched = rig.fetch(*files)

        assert [file.path for file in fetched] == list(bodies)
        assert {path: rig.read(path) == body for path, body in bodies.items()} == dict.fromkeys(bodies, True)
