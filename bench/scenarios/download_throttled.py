"""The same file from a server that gives each connection 30 MB/s."""

from bench.contest import Contest, make_file, ratio, server
from bench.context import Context, need
from bench.processes import MIB
from bench.report import Outcome
from bench.scenarios.download import tell_times
from tests.stack import Stack


def run(context: Context) -> Outcome:
    need("aria2c", "sync")
    size = context.count(1024, 256) * MIB
    files = context.folder / "served"
    sha256 = make_file(files, size)
    with (
        server(context.folder / "nginx", files, sha256, size, rate="30m") as nginx,
        Stack(context.folder / "stack") as stack,
    ):
        contest = Contest(context, stack, nginx, sha256, size)
        contestants = {
            "rbee job": contest.rbee_job,
            "rbee downloader": contest.rbee_downloader,
            "aria2c": lambda: contest.aria2("-s8"),
        }
        times = contest.race(contestants, context.rounds_or(7, 2))
        peak, high_water = contest.peak_memory()
    outcome = Outcome()
    against = "aria2c -x8 -s8"
    outcome.at_most("wall of a job, ratio", ratio(times, "rbee job", "aria2c"), 1.05, "×", against=against)
    outcome.at_most(
        "wall of the downloader alone, ratio",
        ratio(times, "rbee downloader", "aria2c"),
        1.05,
        "×",
        against=against,
    )
    tell_times(outcome, times)
    outcome.at_most("memory of the hive, greatest PSS", peak, 150, "MiB", digits=0)
    outcome.at_most("memory of the hive, RSS high-water mark", high_water, 150, "MiB", digits=0)
    outcome.notes.append(
        f"{size // MIB} MiB, `limit_rate 30m`: eight connections carry 240 MiB/s at most, {size / MIB / 240:.2f} s."
    )
    outcome.raw |= {
        "seconds": {name: [[t.wall, t.cpu] for t in timings] for name, timings in times.items()},
        "stack_cpu": contest.stack_cpu,
        "hive_peak_mib": {"pss": peak, "rss": high_water},
    }
    return outcome
