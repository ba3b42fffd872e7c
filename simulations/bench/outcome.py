"""What a benchmark found: a table, figures for scripts, and headline ratios in the last line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fedvox.common.errors import InputError
from fedvox.common.files import write_json_atomic

Row = Sequence[str]


class Absent(InputError):
    """Something outside the repository that a benchmark needs is not here."""


@dataclass(frozen=True)
class Headline:
    """One figure that a benchmark is held to."""

    what: str
    value: float
    bound: Literal["<=", ">="]
    target: float

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of the target."""
        return self.value <= self.target if self.bound == "<=" else self.value >= self.target

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "missed"
        return f"{self.what} {self.value:.3f} ({self.bound} {self.target:g}: {verdict})"


@dataclass(frozen=True)
class Outcome:
    """What one benchmark found."""

    name: str
    titles: Row
    rows: Sequence[Row]
    headlines: Sequence[Headline]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Everything that was measured, for the JSON."""
    notes: Sequence[str] = ()


def table(titles: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as they must be: the first to the left, figures to the right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]

    def laid_out(line: Row) -> str:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([laid_out(titles), rule, *(laid_out(row) for row in rows)])


def render(outcome: Outcome) -> str:
    """The text of a benchmark; its headlines are the last line."""
    parts = [table(outcome.titles, outcome.rows), *outcome.notes]
    last = "; ".join(str(headline) for headline in outcome.headlines)
    return "\n".join([*parts, f"{outcome.name}: {last}"])


def write(outcome: Outcome, folder: Path) -> Path:
    """folder/NAME.json."""
    headlines = [{**vars(one), "reached": one.reached} for one in outcome.headlines]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.name}.json"
    record = {"bench": outcome.name, "headlines": headlines, **outcome.figures}
    write_json_atomic(path, {**record, "machine": machine()})
    return path


def machine() -> dict[str, Any]:
    """What timings depend on: cores, and how much else was running."""
    return {"cores": os.cpu_count() or 1, "load": [round(load, 2) for load in os.getloadavg()]}
