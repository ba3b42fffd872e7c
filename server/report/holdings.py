"""Who held what: patients of each site by split and by stratum, as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from fedvox.server.report.draw import (
    CARD,
    INK,
    MUTED,
    SERIES,
    SITES_BY_NAME,
    Chart,
    Key,
    canvas,
    grid,
    name_width_px,
    names_at_left,
    to_svg,
    variable,
)
from fedvox.server.report.records import SPLITS, Run
from fedvox.server.report.wording import many, shortened

_STRATA_SHOWN = len(SERIES)


def split_chart(run: Run) -> Chart | None:
    """Patients of each site by split."""
    counts = {split: [site.patients.get(split, 0) for site in run.sites] for split in SPLITS}
    return _stacked(run, "splits", "Patients by site and split", counts, (0, 4, 1))


def stratum_chart(run: Run) -> Chart | None:
    """Patients of each site by stratum: class, or size of the lesion."""
    totals: dict[str, int] = {}
    for site in run.sites:
        for name, count in site.strata.items():
            totals[name] = totals.get(name, 0) + count
    names = list(totals)
    if len(names) > _STRATA_SHOWN:  # more colours than these cannot be told apart
        largest = set(sorted(names, key=lambda name: -totals[name])[: _STRATA_SHOWN - 1])
        names = [name for name in names if name in largest]
    counts = {name: [site.strata.get(name, 0) for site in run.sites] for name in names}
    rest = [
        sum(count for name, count in site.strata.items() if name not in counts)
        for site in run.sites
    ]
    if any(rest):
        counts["other"] = rest
    order = (2, 3, 5, 6, 0, 1, 4, 7)
    return _stacked(run, "strata", "Patients by site and stratum", counts, order)


def _stacked(
    run: Run, name: str, title: str, counts: Mapping[str, Sequence[int]], order: Sequence[int]
) -> Chart | None:
    counts = {label: values for label, values in counts.items() if any(values)}
    if not counts:
        return None
    colours = {label: SERIES[order[i % len(order)]] for i, label in enumerate(counts)}
    keys = tuple(Key(label, variable(colours[label]), "square") for label in counts)
    draw = _skyline if len(run.sites) > SITES_BY_NAME else _bars
    return Chart(draw(run, name, title, counts, colours), keys)


def _bars(
    run: Run,
    name: str,
    title: str,
    counts: Mapping[str, Sequence[int]],
    colours: Mapping[str, str],
) -> str:
    names = [shortened(site.name) for site in run.sites]
    figure, axes = canvas(46 + 24 * len(names), left_px=name_width_px(names), right_px=38, top_px=4)
    grid(axes, "x")
    names_at_left(axes, names)
    start = np.zeros(len(names))
    for label, values in counts.items():
        axes.barh(
            range(len(names)),
            values,
            left=start,
            height=0.62,
            color=colours[label],
            edgecolor=CARD,
            linewidth=0.8,
        )
        start += np.asarray(values)
    for row, total in enumerate(start):
        axes.annotate(
            f"{total:.0f}",
            (total, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_xlabel("patients")
    return to_svg(figure, name, title)


def _skyline(
    run: Run,
    name: str,
    title: str,
    counts: Mapping[str, Sequence[int]],
    colours: Mapping[str, str],
) -> str:
    """Sites from the largest to the smallest, without names."""
    stack = np.array(list(counts.values()))
    stack = stack[:, np.argsort(-stack.sum(axis=0), kind="stable")]
    figure, axes = canvas(220, left_px=40)
    grid(axes, "y")
    edges = np.arange(stack.shape[1] + 1)
    tops = np.cumsum(stack, axis=0)
    for index, label in enumerate(counts):
        below = tops[index - 1] if index else np.zeros(stack.shape[1])
        axes.stairs(tops[index], edges, baseline=below, fill=True, color=colours[label])
    axes.set_xlabel(f"{many(stack.shape[1], 'site')}, largest first")
    axes.set_ylabel("patients", color=MUTED, fontsize=10.5)
    axes.set_ylim(bottom=0)
    return to_svg(figure, name, title)
