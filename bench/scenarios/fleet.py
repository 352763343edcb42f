"""200 hives at their heartbeats and 20 busy downloads; then twice as many hives, again and again, until something bends."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from bench.child import Child
from bench.context import Context
from bench.processes import MIB, StackMeter, pss
from bench.quantiles import milliseconds, percentile
from bench.report import Outcome
from bench.stand_in import Member, join
from tests.stack import Stack

LOOKS = 1.0
"""`GET /v1/hives` a second."""
BEAT_BENDS = 1.0
"""Seconds: a heartbeat slower than this at p95 has bent."""
COUNTED = ("web", "recorder", "broker")


def run(context: Context) -> Outcome:
    hives, busy, seconds = context.count(200, 20), context.count(20, 4), context.count(60, 10)
    most = context.count(3200, 40)
    found: list[dict[str, Any]] = []
    with Stack(context.folder / "stack") as stack, ExitStack() as running:
        target = {"host": "127.0.0.1", "port": stack.port}
        fleet: list[Child] = []
        count = 0
        while True:
            wanted = hives if not count else count * 2
            members = _join_all(stack, count, wanted)
            chosen = [member.id for member in members[:busy]] if not count else []
            for number, hive_id in enumerate(chosen):
                model = f"https://models.example/{number}.gguf"
                stack.submit("model_download", {"hive": hive_id}, model=model)
            start = target | {"members": [asdict(member) for member in members], "busy": chosen}
            fleet.append(running.enter_context(Child("bench.fleet_of_stand_ins", start)))
            count = wanted
            found.append(_observe(context, stack, fleet, count, seconds))
            if found[-1]["broken"] or count * 2 > most:
                break
        stack.session.close()
    first = found[0]
    outcome = Outcome()
    outcome.at_most(
        f"CPU of web + recorder, {hives} hives, {busy} downloads",
        first["core"] * 100,
        50,
        "% of a core",
        digits=0,
    )
    outcome.at_most(
        f"GET /v1/hives, p95, {hives} hives", percentile(first["looks"], 0.95) * 1000, 100, "ms", digits=0
    )
    for one in found:
        cpu = ", ".join(
            f"{name} {share * 100:.0f} %" for name, share in one["shares"].items() if name in COUNTED
        )
        words = (
            f"CPU {cpu}; GET /v1/hives {milliseconds(one['looks'])}; heartbeat {milliseconds(one['beats'])}; "
            f"{one['beats_a_second']:.0f} beats/s; PSS web {one['pss_web']:.0f} MiB"
        )
        outcome.state(f"{one['hives']} hives", words + (f"; bends: {one['bent']}" if one["bent"] else ""))
    bend = next((one for one in found if one["bent"]), None)
    last = found[-1]
    outcome.state(
        "bends first at", f"{bend['hives']} hives: {bend['bent']}" if bend else f"not up to {count} hives"
    )
    outcome.state("ends at", f"{last['hives']} hives: {last['broken'] or 'more were not tried'}")
    outcome.notes += [
        f"Windows of {seconds} s; times are p50 / p95 / p99 / worst; {LOOKS:.0f} look a second at /v1/hives is part of the load.",
        "Bends: GET /v1/hives p95 over 100 ms, web + recorder over half a core. "
        f"Ends: web over 90 % of a core, heartbeat p95 over {BEAT_BENDS:.0f} s, or a beat fails.",
        f"{busy} hives narrate a download, progress 4/s and a line 1/s each; every hive has two GPUs and five models.",
    ]
    shares = (0.5, 0.9, 0.95, 0.99, 1.0)
    outcome.raw["steps"] = [
        one | {"beats": {f"p{share * 100:.0f}": percentile(one["beats"], share) for share in shares}}
        for one in found
    ]
    return outcome


def _observe(
    context: Context, stack: Stack, fleet: Sequence[Child], hives: int, seconds: float
) -> dict[str, Any]:
    time.sleep(12)
    headers = {"Authorization": f"Bearer {stack.token}"}
    looks = {
        "host": "127.0.0.1",
        "port": stack.port,
        "headers": headers,
        "paths": ["/v1/hives"],
        "rate": LOOKS,
    }
    for child in fleet:
        child.ask(None)
    with Child("bench.visits", looks) as visitor:
        meter = StackMeter(stack)
        time.sleep(seconds)
        wall, used = meter.wall, meter.read()
        visits = visitor.ask(None)
    told = [child.ask(None) for child in fleet]
    beats = [beat for one in told for beat in one["beats"]]
    failed: dict[str, int] = {}
    for one in told:
        for reason, times in one["failed"].items():
            failed[reason] = failed.get(reason, 0) + times
    shares = {name: spent / wall for name, spent in used.items()}
    online = sum(hive["online"] for hive in stack.get("/v1/hives")["items"]) - 2
    found = {
        "hives": hives,
        "online": online,
        "shares": shares,
        "core": shares["web"] + shares["recorder"],
        "looks": visits["seconds"],
        "looks_failed": visits["failed"],
        "beats": beats,
        "beats_a_second": len(beats) / wall,
        "failed": failed,
        "said_a_second": sum(one["said"] for one in told) / wall,
        "busy": sum(one["running"] for one in told),
        "pss_web": pss(stack.pid("web")) / MIB,
    }
    found["bent"] = _bent(found)
    found["broken"] = _broken(found)
    context.say(
        f"{hives} hives: web + recorder {found['core']:.0%} of a core, GET /v1/hives {milliseconds(found['looks'])}, "
        f"heartbeat {milliseconds(beats)}, {found['busy']} busy, failed {failed}"
    )
    return found


def _bent(found: dict[str, Any]) -> str:
    """What is no longer as it should be, in words."""
    reasons = [_broken(found)]
    if (slow := percentile(found["looks"], 0.95)) > 0.1:
        reasons.append(f"GET /v1/hives takes {slow * 1000:.0f} ms at p95")
    if found["core"] > 0.5:
        reasons.append(f"web + recorder use {found['core']:.0%} of a core")
    return "; ".join(filter(None, reasons))


def _broken(found: dict[str, Any]) -> str:
    """Why there is no sense in more hives."""
    reasons = []
    if found["shares"]["web"] > 0.9:
        reasons.append(f"web uses {found['shares']['web']:.0%} of a core")
    if (slow := percentile(found["beats"], 0.95)) > BEAT_BENDS:
        reasons.append(f"a heartbeat takes {slow:.1f} s at p95")
    if found["failed"]:
        reasons.append(f"heartbeats fail: {found['failed']}")
    if found["online"] < found["hives"]:
        reasons.append(f"{found['hives'] - found['online']} hives seem offline")
    return "; ".join(reasons)


def _join_all(stack: Stack, first: int, last: int) -> list[Member]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: join(stack, f"stand-in {number:04d}"), range(first, last)))
