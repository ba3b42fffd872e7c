"""The plot of a comparison: what each run reached, and its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from fedvox.server.report.draw import (
    ALONE,
    CARD,
    INK,
    LINE,
    Chart,
    Key,
    canvas,
    grid,
    name_width_px,
    names_at_left,
    series,
    to_svg,
    variable,
    whole_ticks,
)
from fedvox.server.report.records import Run
from fedvox.server.report.standing import best_alone
from fedvox.server.report.wording import metric_name, score, shortened


@dataclass(frozen=True)
class Charts:
    """Where the runs ended, and how they got there."""

    ends: Chart | None
    curves: Chart | None


def compare_chart(runs: Sequence[tuple[str, Run]]) -> Charts:
    """Only runs with the first one's headline metric can share its scale."""
    key = runs[0][1].headline
    comparable = [(name, run) for name, run in runs if run.headline == key]
    return Charts(_ends(comparable, key), _curves(comparable, key))


def _ends(runs: Sequence[tuple[str, Run]], key: str) -> Chart | None:
    rows = [(name, *_values(run, key)) for name, run in runs]
    known = [value for _, *values in rows for value in values if math.isfinite(value)]
    if not known:
        return None
    names = [shortened(name) for name, *_ in rows]
    figure, axes = canvas(52 + 27 * len(rows), left_px=name_width_px(names), right_px=50, top_px=6)
    grid(axes, "x")
    names_at_left(axes, names)
    for place, (_, score_, pooled, alone) in enumerate(rows):
        span = [value for value in (score_, pooled, alone) if math.isfinite(value)]
        if span:
            axes.plot((min(span), max(span)), (place, place), color=LINE, linewidth=5)
        axes.plot(alone, place, "o", mfc=CARD, mec=ALONE, mew=1.6, markersize=7)
        axes.plot(pooled, place, "s", color=ALONE, mec=CARD, markersize=8)
        axes.plot(score_, place, "D", color=series(place)[0], mec=CARD, markersize=9, zorder=5)
        axes.annotate(
            score(score_),
            (1, place),
            (46, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            color=INK,
            annotation_clip=False,
        )
    room = max((max(known) - min(known)) * 0.08, 0.005)
    axes.set_xlim(min(known) - room, max(known) + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(f"{metric_name(key)}, all test patients together")
    keys = (
        Key("federated", variable(INK), "diamond"),
        Key("pooled", variable(ALONE), "square"),
        Key("best site alone", variable(ALONE), "ring"),
    )
    return Chart(to_svg(figure, "ends", f"{metric_name(key)} of each run"), keys)


def _values(run: Run, key: str) -> tuple[float, float, float]:
    best = best_alone(run)
    pooled = run.pooled.metrics.get(key, math.nan) if run.pooled else math.nan
    return run.score, pooled, best.metrics.get(key, math.nan) if best else math.nan


def _curves(runs: Sequence[tuple[str, Run]], key: str) -> Chart | None:
    figure, axes = canvas(250)
    grid(axes, "y")
    whole_ticks(axes)
    axes.set_xlabel("round")
    keys = []
    for index, (name, run) in enumerate(runs):
        points = [
            (record.number, record.evaluation.union.get(key, math.nan))
            for record in run.rounds
            if record.evaluation is not None
        ]
        known = [(number, value) for number, value in points if math.isfinite(value)]
        if known:
            colour, dashes, shape = series(index)
            marker = "o" if len(known) <= 12 else ""
            axes.plot(
                *zip(*known, strict=True),
                color=colour,
                linestyle=dashes,
                marker=marker,
                linewidth=2,
                markersize=4,
            )
            keys.append(Key(name, variable(colour), shape))
    if not keys:
        return None
    title = f"{metric_name(key)} on validation patients over rounds"
    return Chart(to_svg(figure, "curves", title), tuple(keys))
