"""Figures, and how they are printed and kept."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RAW = HERE / "results.json"
PAGE = HERE / "RESULTS.md"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `reached` is None where nothing is promised."""

    what: str
    against: str
    figure: str
    target: str = ""
    reached: bool | None = None
    missed_by: str = ""

    @property
    def verdict(self) -> str:
        if self.reached is None:
            return "stated"
        return "reached" if self.reached else f"missed by {self.missed_by}"


@dataclass
class Outcome:
    """What a scenario found. `raw` is kept as it is."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def at_most(
        self, what: str, value: float, limit: float, unit: str, *, against: str = "", digits: int = 2
    ) -> None:
        """A figure that must not be above `limit`."""
        words = f"{value:.{digits}f} {unit}".strip()
        self.figures.append(
            Figure(
                what,
                against,
                words,
                f"≤ {limit:g} {unit}".strip(),
                value <= limit,
                f"{value / limit - 1:.0%}" if limit else words,
            )
        )

    def at_least(
        self, what: str, value: float, limit: float, unit: str, *, against: str = "", digits: int = 2
    ) -> None:
        words = f"{value:.{digits}f} {unit}".strip()
        self.figures.append(
            Figure(
                what,
                against,
                words,
                f"≥ {limit:g} {unit}".strip(),
                value >= limit,
                f"{1 - value / limit:.0%}",
            )
        )

    def state(self, what: str, words: str, *, against: str = "") -> None:
        self.figures.append(Figure(what, against, words))


def load() -> dict[str, Any]:
    return json.loads(RAW.read_text()) if RAW.exists() else {"scenarios": {}}


def keep(
    machine: Mapping[str, Any],
    name: str,
    conditions: Mapping[str, Any],
    outcome: Outcome,
    order: Iterable[str],
) -> None:
    """Puts one scenario's result in place of its last one; `order` names the scenarios as the page has them."""
    kept = load()
    kept["machine"] = dict(machine)
    kept["scenarios"][name] = {
        "conditions": dict(conditions),
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in outcome.figures],
        "notes": outcome.notes,
        "raw": outcome.raw,
    }
    kept["scenarios"] = {known: kept["scenarios"][known] for known in order if known in kept["scenarios"]}
    RAW.write_text(_compact(kept))
    PAGE.write_text(page(kept))


def _compact(kept: Mapping[str, Any]) -> str:
    """A scenario a line, microseconds at the finest."""
    scenarios = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(_rounded(one), ensure_ascii=False)}"
        for name, one in kept["scenarios"].items()
    )
    return f'{{"machine": {json.dumps(kept["machine"], ensure_ascii=False)},\n"scenarios": {{\n{scenarios}\n}}}}\n'


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def print_table(title: str, outcome: Outcome) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("what", "against", "figure", "target", ""):
        table.add_column(column, overflow="fold")
    for figure in outcome.figures:
        table.add_row(figure.what, figure.against, figure.figure, figure.target, figure.verdict)
    console = Console(width=160)
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False, markup=False)


def page(kept: Mapping[str, Any]) -> str:
    lines = ["# Results", "", "Made by `make bench`; every single number is in `results.json`.", ""]
    lines += [f"- {name}: {words}" for name, words in kept["machine"].items()]
    for name, scenario in kept["scenarios"].items():
        conditions = ", ".join(f"{key} {value}" for key, value in scenario["conditions"].items())
        lines += [
            "",
            f"## {name}",
            "",
            f"*{conditions}*",
            "",
            "| what | against | figure | target | |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['what']} | {row['against']} | {row['figure']} | {row['target']} | {row['verdict']} |"
            for row in scenario["figures"]
        ]
        lines += ["", *(f"- {note}" for note in scenario["notes"])] if scenario["notes"] else []
    return "\n".join(lines) + "\n"
