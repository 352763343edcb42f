"""1 GiB from nginx on loopback, verified by SHA-256, until it is on disk for sure."""

from bench.contest import Contest, make_file, ratio, server
from bench.context import Context, need
from bench.processes import MIB, NAMES, Timing
from bench.quantiles import median, spread
from bench.report import Outcome
from tests.stack import Stack

AGAINST = {
    "rbee job": "POST to `end`, the whole stack",
    "rbee downloader": "a process for it alone",
    "curl": "`curl -o`, then `openssl dgst -sha256`",
    "aria2c": "`aria2c -x8 --checksum`",
    "hf": "`hf download`, which does not verify",
}


def run(context: Context) -> Outcome:
    need("curl", "aria2c", "openssl", "sync")
    size = context.count(1024, 128) * MIB
    files = context.folder / "served"
    sha256 = make_file(files, size)
    with (
        server(context.folder / "nginx", files, sha256, size) as nginx,
        Stack(context.folder / "stack") as stack,
    ):
        contest = Contest(context, stack, nginx, sha256, size)
        contestants = {
            "rbee job": contest.rbee_job,
            "rbee downloader": contest.rbee_downloader,
            "curl": contest.curl,
            "aria2c": contest.aria2,
            "hf": contest.hf,
        }
        times = contest.race(contestants, context.rounds_or(7, 2))
        by_process = {name: median([cpu[name] for cpu in contest.stack_cpu]) for name in NAMES}
        peak, high_water = contest.peak_memory()
    outcome = Outcome()
    outcome.at_most(
        "wall of a job, ratio", ratio(times, "rbee job", "curl"), 1.0, "×", against="curl + openssl"
    )
    outcome.at_most(
        "wall of a job, ratio", ratio(times, "rbee job", "aria2c"), 0.6, "×", against="aria2c -x8"
    )
    outcome.at_most(
        "wall of the downloader alone, ratio",
        ratio(times, "rbee downloader", "curl"),
        1.0,
        "×",
        against="curl + openssl",
    )
    outcome.at_most(
        "wall of the downloader alone, ratio",
        ratio(times, "rbee downloader", "aria2c"),
        0.6,
        "×",
        against="aria2c -x8",
    )
    tell_times(outcome, times)
    outcome.at_most("memory of the hive, greatest PSS", peak, 150, "MiB", digits=0)
    outcome.at_most("memory of the hive, RSS high-water mark", high_water, 150, "MiB", digits=0)
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in by_process.items())
    outcome.notes.append(f"{size // MIB} MiB; CPU of a job by process (medians): {parts}.")
    outcome.raw |= {
        "seconds": {name: [[t.wall, t.cpu] for t in timings] for name, timings in times.items()},
        "stack_cpu": contest.stack_cpu,
        "hive_peak_mib": {"pss": peak, "rss": high_water},
    }
    return outcome


def tell_times(outcome: Outcome, times: dict[str, list[Timing]]) -> None:
    for name, timings in times.items():
        wall, cpu = [t.wall for t in timings], [t.cpu for t in timings]
        outcome.state(
            f"{name}: wall, CPU", f"{spread(wall)} s, {spread(cpu)} s", against=AGAINST.get(name, "")
        )
