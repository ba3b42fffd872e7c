"""The picture of a frontier: quality against epsilon, for its page and as files of its own."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from fedvox.server.report import draw
from fedvox.server.report.draw import Chart, Key, canvas, grid, literal, to_svg, variable
from fedvox.server.report.wording import metric_name, score
from fedvox.simulations.frontier.figures import Frontier, Level
from fedvox.simulations.frontier.points import epsilon_name

_ROOM = 1.35
"""Factor by which the axis goes on beyond the first and the last epsilon."""


@dataclass(frozen=True)
class Colours:
    """What a picture is drawn in."""

    private: str
    without: str
    ink: str
    muted: str
    line: str
    ground: str


PAGE = Colours(draw.FEDERATED, draw.POOLED, draw.INK, draw.MUTED, draw.LINE, draw.CARD)
"""Placeholders that become the page's own colours."""
PAPER = Colours("#0b66ad", "#b36200", "#16202b", "#5a6775", "#dde2e8", "#ffffff")


def frontier_chart(frontier: Frontier) -> Chart | None:
    """For the page; None without a private result."""
    if not _private(frontier):
        return None
    figure, axes = canvas(270)
    grid(axes, "y")
    _draw(axes, frontier, PAGE)
    keys = [Key("mean over seeds, and range", variable(PAGE.private))]
    keys.append(Key("one seed", variable(PAGE.private), "dot"))
    if _without(frontier):
        keys.append(Key("without privacy, and range", variable(PAGE.without), "dash"))
    return Chart(to_svg(figure, "frontier", _title(frontier)), tuple(keys))


def picture(frontier: Frontier, kind: str) -> bytes | None:
    """A file of its own, svg or png; None without a private result."""
    if not _private(frontier):
        return None
    with rc_context({"svg.hashsalt": "fedvox", "font.size": 10, "axes.unicode_minus": False}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained", facecolor=PAPER.ground)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.grid(True, axis="y", color=PAPER.line, linewidth=0.8)
        _draw(axes, frontier, PAPER)
        title = literal(f"{frontier.study.study.name}: {_title(frontier)}")
        axes.set_title(title, loc="left", color=PAPER.ink, fontsize=11)
        axes.set_ylabel(metric_name(frontier.headline), color=PAPER.muted)
        figure.legend(
            loc="outside lower center", ncols=2, frameon=False, labelcolor=PAPER.ink, fontsize=9
        )
        _frame(axes)
        written = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(written, format=kind, dpi=160, metadata=metadata)
    return written.getvalue()


def _draw(axes: Axes, frontier: Frontier, colours: Colours) -> None:
    levels = _private(frontier)
    epsilons = [level.epsilon for level in levels]
    axes.set_xscale("log")
    axes.set_xlim(min(epsilons) / _ROOM, max(epsilons) * _ROOM)
    axes.xaxis.set_major_locator(FixedLocator(epsilons))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: epsilon_name(value)))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel("epsilon (logarithmic)", color=colours.muted)
    _draw_without(axes, _without(frontier), colours)
    for level in levels:
        _draw_level(axes, level, colours)
    axes.plot(
        epsilons,
        [level.mean for level in levels],
        color=colours.private,
        linewidth=2.2,
        marker="o",
        markersize=7,
        markeredgecolor=colours.ground,
        zorder=5,
        label="mean over seeds, and range",
    )
    axes.margins(y=0.14)


def _draw_level(axes: Axes, level: Level, colours: Colours) -> None:
    low, high = min(level.values), max(level.values)
    places = [level.epsilon] * len(level.values)
    axes.plot(
        places[:2] or places, (low, high)[: len(places)], color=colours.private, linewidth=1.4
    )
    axes.plot(places, level.values, "o", color=colours.private, alpha=0.45, markersize=4, mew=0)
    axes.annotate(
        score(level.mean),
        (level.epsilon, level.mean),
        (-7, 6),
        textcoords="offset points",
        ha="right",
        color=colours.ink,
        fontsize=9.5,
        zorder=6,
    )


def _draw_without(axes: Axes, level: Level | None, colours: Colours) -> None:
    if level is None:
        return
    axes.axhspan(
        min(level.values), max(level.values), color=colours.without, alpha=0.14, linewidth=0
    )
    axes.axhline(
        level.mean,
        color=colours.without,
        linewidth=1.6,
        linestyle=(0, (5, 3)),
        label="without privacy, and range",
    )


def _frame(axes: Axes) -> None:
    axes.tick_params(colors=PAPER.muted, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PAPER.line)


def _private(frontier: Frontier) -> list[Level]:
    return [level for level in frontier.levels if math.isfinite(level.epsilon) and level.values]


def _without(frontier: Frontier) -> Level | None:
    level = frontier.without
    return level if level is not None and level.values else None


def _title(frontier: Frontier) -> str:
    return f"{metric_name(frontier.headline)} against epsilon"
