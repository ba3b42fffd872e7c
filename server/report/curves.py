"""Curves over rounds: training loss, headline metric and epsilon, of every site and of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedvox.server.report.draw import (
    ALONE,
    CARD,
    FEDERATED,
    INK,
    SITES_BY_NAME,
    Chart,
    Key,
    canvas,
    grid,
    series,
    to_svg,
    variable,
    whole_ticks,
)
from fedvox.server.report.records import Run

Points = Sequence[tuple[int, float]]


def loss_chart(run: Run) -> Chart | None:
    """The training loss over rounds; None without a closed round."""
    together = [(record.number, record.loss) for record in run.rounds]
    by_site = {
        site.name: [
            (record.number, record.sites[site.name].get("loss", math.nan))
            for record in run.rounds
            if site.name in record.sites
        ]
        for site in run.sites
    }
    return _chart("loss", "Training loss over rounds", together, by_site, "mean over sites")


def metric_chart(run: Run) -> Chart | None:
    """The headline metric on validation patients over rounds; None where it was never measured."""
    measured = [(r.number, r.evaluation) for r in run.rounds if r.evaluation is not None]
    together = [(number, found.union.get(run.headline, math.nan)) for number, found in measured]
    by_site = {
        site.name: [
            (number, found.sites[site.name].get(run.headline, math.nan))
            for number, found in measured
            if site.name in found.sites
        ]
        for site in run.sites
    }
    title = f"{run.headline} on validation patients over rounds"
    return _chart("metric", title, together, by_site, "all sites together")


def epsilon_chart(run: Run) -> Chart | None:
    """What was spent of privacy by the end of each round; None where nothing was told."""
    by_site = {
        site.name: [
            (record.number, record.sites[site.name]["epsilon"])
            for record in run.rounds
            if "epsilon" in record.sites.get(site.name, {})
        ]
        for site in run.sites
    }
    most, together = 0.0, []
    for record in run.rounds:
        told = [found["epsilon"] for found in record.sites.values() if "epsilon" in found]
        most = max([most, *told])
        together.append((record.number, most))
    if not any(by_site.values()):
        return None
    alike = all(points == together for points in by_site.values())
    label = "every site" if alike else "largest of all sites"
    shown = {} if alike else by_site  # one line over the others would hide them
    return _chart("epsilon", "Epsilon over rounds", together, shown, label, from_zero=True)


def _chart(
    name: str,
    title: str,
    together: Points,
    by_site: Mapping[str, Points],
    label: str,
    from_zero: bool = False,
) -> Chart | None:
    together = _finite(together)
    curves = {site: _finite(points) for site, points in by_site.items()}
    curves = {site: points for site, points in curves.items() if points}
    if not together and not curves:
        return None
    figure, axes = canvas(250)
    grid(axes, "y")
    whole_ticks(axes)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel("round")
    keys = _band(axes, curves) if len(curves) > SITES_BY_NAME else _lines(axes, curves)
    if together:
        rounds, values = zip(*together, strict=True)
        _mark(axes, rounds, values)
        keys = (Key(label, variable(INK)), *keys)
    if from_zero:
        axes.set_ylim(bottom=0)
    return Chart(to_svg(figure, name, title), keys)


def _mark(axes: Axes, rounds: Sequence[int], values: Sequence[float]) -> None:
    few = len(rounds) <= 12
    axes.plot(
        rounds,
        values,
        color=INK,
        linewidth=2.4,
        marker="o" if few else "",
        markersize=4.5,
        markeredgecolor=CARD,
        zorder=5,
    )


def _lines(axes: Axes, curves: Mapping[str, Points]) -> tuple[Key, ...]:
    keys = []
    for index, (site, points) in enumerate(curves.items()):
        colour, dashes, shape = series(index)
        rounds, values = zip(*points, strict=True)
        axes.plot(
            rounds,
            values,
            color=colour,
            linestyle=dashes,
            linewidth=1.3,
            marker="o" if len(points) <= 12 else "",
            markersize=2.5,
        )
        keys.append(Key(site, variable(colour), shape))
    return tuple(keys)


def _band(axes: Axes, curves: Mapping[str, Points]) -> tuple[Key, ...]:
    """Where the sites lie, when there are too many to tell apart."""
    by_round: dict[int, list[float]] = {}
    for points in curves.values():
        for number, value in points:
            by_round.setdefault(number, []).append(value)
    rounds = sorted(by_round)
    levels = np.array([np.quantile(by_round[n], (0.0, 0.25, 0.75, 1.0)) for n in rounds]).T
    axes.fill_between(rounds, levels[0], levels[3], color=ALONE, alpha=0.22, linewidth=0)
    axes.fill_between(rounds, levels[1], levels[2], color=FEDERATED, alpha=0.35, linewidth=0)
    return (
        Key("half of the sites", variable(FEDERATED), "square"),
        Key(f"all {len(curves)} sites", variable(ALONE), "square"),
    )


def _finite(points: Points) -> list[tuple[int, float]]:
    return [(number, value) for number, value in points if math.isfinite(value)]
