"""A frontier as a table: for the terminal, and for its page."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fedvox.server.report.tables import Table
from fedvox.server.report.wording import (
    ABSENT,
    duration,
    epsilon_spent,
    metric_name,
    score,
    share,
    span,
    whole,
)
from fedvox.simulations.frontier.figures import Frontier, Level, Outcome
from fedvox.simulations.frontier.points import epsilon_name

_WITHOUT = "none"


def level_table(frontier: Frontier) -> Table:
    """A row an epsilon: what it is, what it cost in quality."""
    metric = metric_name(frontier.headline)
    quality = (metric, "Range", "Of no privacy")
    columns = ("Epsilon", *quality, "Spent", "Delta", "Seeds")
    return Table(columns, tuple(_level_row(level) for level in frontier.levels))


def run_table(frontier: Frontier) -> Table:
    """A row a run."""
    metric = metric_name(frontier.headline)
    columns = ("Run", "Epsilon", "Seed", "State", metric, "Spent", "Noise", "Refusals", "Time")
    return Table(columns, tuple(_run_row(outcome) for outcome in frontier.outcomes))


def table_text(frontier: Frontier) -> str:
    """The table of levels, right-aligned."""
    table = level_table(frontier)
    rows = [table.columns, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.columns))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    missing = [o.point.folder for o in frontier.outcomes if not o.known]
    if missing:
        lines.append(f"without a result: {', '.join(missing)}")
    return "\n".join(lines)


def result_sentence(frontier: Frontier) -> str:
    """What privacy cost, in one sentence."""
    name = metric_name(frontier.headline)
    private = [lv for lv in frontier.levels if math.isfinite(lv.epsilon) and lv.values]
    compared = [level for level in private if math.isfinite(level.ratio)]
    ends = list(dict.fromkeys((compared or private)[:1] + (compared or private)[-1:]))
    if not ends:
        return "No private run has a result yet."
    if not compared:
        told = [f"{score(lv.mean)} at epsilon {epsilon_name(lv.epsilon)}" for lv in ends]
        return f"{name} was {' and '.join(told)}; no run without privacy has a result."
    most, *least = (f"at epsilon {epsilon_name(level.epsilon)}" for level in reversed(ends))
    kept = f"{share(ends[-1].ratio)} is kept {most}"
    more = f", {share(ends[0].ratio)} {least[0]}" if least else ""
    return f"Of the {name} without privacy, {kept}{more}."


def _level_row(level: Level) -> tuple[str, ...]:
    known = level.known
    return (
        epsilon_name(level.epsilon) if math.isfinite(level.epsilon) else _WITHOUT,
        score(level.mean),
        _range(level),
        share(level.ratio),
        epsilon_spent(_most(outcome.spent for outcome in known)),
        _small(_most(outcome.delta for outcome in known)),
        f"{len(known)}/{len(level.outcomes)}",
    )


def _range(level: Level) -> str:
    if not level.values:
        return ABSENT
    return f"{score(min(level.values))}–{score(max(level.values))}"


def _run_row(outcome: Outcome) -> tuple[str, ...]:
    point = outcome.point
    return (
        point.folder,
        epsilon_name(point.epsilon) if point.private else _WITHOUT,
        str(point.seed),
        outcome.status,
        score(outcome.value),
        epsilon_spent(outcome.spent),
        span(outcome.noise),
        whole(outcome.refusals),
        duration(outcome.wall_s),
    )


def _most(values: Iterable[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _small(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else ABSENT
