"""`python -m bench`."""

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

from bench import machine, report
from bench.context import Context, Skipped
from bench.scenarios import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures rbee side by side with alternatives."
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(SCENARIOS)}; all when none is given"
    )
    parser.add_argument("--rounds", type=int, help="rounds of the scenarios that have rounds")
    parser.add_argument(
        "--quick", action="store_true", help="a small try of everything; prints, keeps nothing"
    )
    given = parser.parse_args()
    if unknown := set(given.names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    failed = [
        name for name in given.names or SCENARIOS if not run(name, quick=given.quick, rounds=given.rounds)
    ]
    return 1 if failed else 0


def run(name: str, *, quick: bool, rounds: int | None) -> bool:
    conditions = machine.conditions()
    print(f"{name} (load {conditions['load before']})", flush=True)
    with tempfile.TemporaryDirectory(prefix="rbee-bench-", ignore_cleanup_errors=True) as folder:
        try:
            outcome = SCENARIOS[name](Context(Path(folder), quick, rounds))
        except Skipped as reason:
            print(f"    skipped: {reason}")
            return True
        except Exception:  # noqa: BLE001 - one broken scenario must not hide the others
            traceback.print_exc()
            return False
    report.print_table(name, outcome)
    if not quick:
        report.keep(machine.describe(), name, conditions, outcome, SCENARIOS)
    return True


if __name__ == "__main__":
    sys.exit(main())
