"""Memory of everything that `rbee up` keeps running, a minute after its start, with nothing to do."""

import time

from bench.context import Context
from bench.processes import MIB, NAMES, pss, rss, tree
from bench.report import Outcome
from tests.stack import Stack


def run(context: Context) -> Outcome:
    with Stack(context.folder) as stack:
        assert stack.program is not None
        time.sleep(context.count(60, 10))
        up = stack.program.process.pid
        whole = pss(up) / MIB
        parts = {name: pss(stack.pid(name)) / MIB for name in NAMES}
        resident = {name: rss(stack.pid(name)) / MIB for name in NAMES}
        count = len(tree(up))
    parts["rbee up"] = whole - sum(parts.values())
    outcome = Outcome()
    outcome.at_most("PSS of the whole process tree", whole, 350, "MiB", digits=0)
    for name, size in parts.items():
        outcome.state(f"of it {name}", f"{size:.0f} MiB")
    outcome.notes.append(f"{count} processes; `rbee up` counts what belongs to no other row.")
    outcome.raw |= {"pss_mib": parts, "rss_mib": resident}
    return outcome
