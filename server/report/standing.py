"""Federated against pooled against each site alone, on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedvox.server.report.draw import (
    ALONE,
    CARD,
    FEDERATED,
    INK,
    LINE,
    POOLED,
    Chart,
    Key,
    canvas,
    grid,
    name_width_px,
    names_at_left,
    to_svg,
    variable,
)
from fedvox.server.report.records import Baseline, Run
from fedvox.server.report.wording import lower_is_better, metric_name, score, shortened

ALONE_SHOWN = 20
"""Only so many sites get a row of their own."""


@dataclass(frozen=True)
class Row:
    """One model's place on the scale."""

    name: str
    colour: str
    union: float
    sites: tuple[float, ...]
    """At each site's test set."""
    own: float = math.nan
    """At the test set of the site that trained it."""


def ranked(run: Run) -> tuple[Baseline, ...]:
    """Sites alone, best on the union first."""

    def rank(baseline: Baseline) -> tuple[float, str]:
        value = baseline.metrics.get(run.headline, math.nan)
        better = value if lower_is_better(run.headline) else -value
        return (better if math.isfinite(value) else math.inf, baseline.name)

    return tuple(sorted(run.alone, key=rank))


def best_alone(run: Run) -> Baseline | None:
    """The site whose own model does best on the union; None without baselines."""
    known = [b for b in ranked(run) if math.isfinite(b.metrics.get(run.headline, math.nan))]
    return known[0] if known else None


def standing_chart(run: Run) -> Chart | None:
    """Every model's headline metric on the union of all test sets, and at each site."""
    rows = _rows(run)
    if not any(math.isfinite(row.union) for row in rows):
        return None
    names = [row.name for row in rows]
    figure, axes = canvas(48 + 25 * len(rows), left_px=name_width_px(names), right_px=50, top_px=6)
    grid(axes, "x")
    names_at_left(axes, names, names[: 2 if run.pooled else 1])
    for place, row in enumerate(rows):
        _draw(axes, place, row)
    axes.set_xlim(*_limits(rows))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(f"{metric_name(run.headline)} on test patients")
    title = f"{metric_name(run.headline)}: federated, pooled and each site alone"
    return Chart(to_svg(figure, "standing", title), _keys(rows))


def _rows(run: Run) -> list[Row]:
    key = run.headline
    rows = [
        Row(
            "Federated",
            FEDERATED,
            run.score,
            tuple(site.metrics.get(key, math.nan) for site in run.sites),
        )
    ]
    if run.pooled is not None:
        rows.append(_row("Pooled", POOLED, run.pooled, key))
    for baseline in ranked(run)[:ALONE_SHOWN]:
        rows.append(_row(shortened(baseline.name), ALONE, baseline, key))
    return rows


def _row(name: str, colour: str, baseline: Baseline, key: str) -> Row:
    return Row(
        name,
        colour,
        baseline.metrics.get(key, math.nan),
        tuple(found.get(key, math.nan) for found in baseline.sites.values()),
        baseline.own.get(key, math.nan),
    )


def _draw(axes: Axes, place: int, row: Row) -> None:
    spread = [value for value in row.sites if math.isfinite(value)]
    if spread:
        axes.plot((min(spread), max(spread)), (place, place), color=LINE, linewidth=5, zorder=2)
        axes.plot(
            spread, [place] * len(spread), "o", color=row.colour, alpha=0.45, markersize=4, mew=0
        )
    if math.isfinite(row.own):
        axes.plot(row.own, place, "o", mfc=CARD, mec=row.colour, mew=1.6, markersize=7, zorder=4)
    if math.isfinite(row.union):
        axes.plot(row.union, place, "D", color=row.colour, mec=CARD, mew=1, markersize=9, zorder=5)
    axes.annotate(
        score(row.union),
        (1, place),
        (46, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="center",
        color=INK,
        fontweight="bold" if place == 0 else "normal",
        annotation_clip=False,
    )


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    values = [v for row in rows for v in (row.union, row.own, *row.sites) if math.isfinite(v)]
    low, high = min(values), max(values)
    room = max((high - low) * 0.06, 0.01)
    return low - room, high + room


def _keys(rows: Sequence[Row]) -> tuple[Key, ...]:
    keys = [Key("all test patients together", variable(INK), "diamond")]
    if any(math.isfinite(row.own) for row in rows):
        keys.append(Key("its own test patients", variable(ALONE), "ring"))
    if any(math.isfinite(value) for row in rows for value in row.sites):
        keys.append(Key("each site's test patients", variable(ALONE), "dot"))
    return tuple(keys)
