"""What the rounds cost and who took part in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from fedvox.server.report.draw import (
    ALONE,
    BAD,
    FEDERATED,
    LINE,
    POOLED,
    SITES_BY_NAME,
    WIDTH_PX,
    Chart,
    Key,
    byte_ticks,
    canvas,
    grid,
    name_width_px,
    names_at_left,
    to_svg,
    variable,
    whole_ticks,
)
from fedvox.server.report.records import Round, Run
from fedvox.server.report.wording import shortened

_STATES = {
    "answered": FEDERATED,
    "late": POOLED,
    "refused": BAD,
    "no answer": ALONE,
    "not asked": LINE,
}


def seconds_chart(run: Run) -> Chart | None:
    """Seconds of each round."""
    rounds = [(record.number, record.seconds) for record in run.rounds]
    known = [(number, seconds) for number, seconds in rounds if seconds == seconds]
    if not known:
        return None
    figure, axes = canvas(190)
    grid(axes, "y")
    whole_ticks(axes)
    numbers, seconds = zip(*known, strict=True)
    axes.bar(numbers, seconds, width=0.72, color=FEDERATED)
    axes.set_xlabel("round")
    axes.set_ylim(bottom=0)
    return Chart(to_svg(figure, "seconds", "Seconds per round"))


def bytes_chart(run: Run) -> Chart | None:
    """Bytes from and to the sites in each round."""
    if not any(record.bytes_up or record.bytes_down for record in run.rounds):
        return None
    figure, axes = canvas(190, left_px=58)
    grid(axes, "y")
    whole_ticks(axes)
    byte_ticks(axes)
    numbers = np.array([record.number for record in run.rounds])
    down = np.array([record.bytes_down for record in run.rounds], dtype=float)
    up = np.array([record.bytes_up for record in run.rounds], dtype=float)
    axes.bar(numbers, down, width=0.72, color=ALONE)
    axes.bar(numbers, up, width=0.72, bottom=down, color=FEDERATED)
    axes.set_xlabel("round")
    axes.set_ylim(bottom=0)
    keys = (
        Key("from the sites", variable(FEDERATED), "square"),
        Key("to the sites", variable(ALONE), "square"),
    )
    return Chart(to_svg(figure, "bytes", "Bytes per round"), keys)


def participation_chart(run: Run) -> Chart | None:
    """Which site answered in which round; only counts where there are many sites."""
    if not run.rounds:
        return None
    sites = [site.name for site in run.sites]
    states = {record.number: _states(record, sites) for record in run.rounds}
    seen = [state for state in _STATES if any(state in column for column in states.values())]
    shape = "square"
    keys = tuple(Key(state, variable(_STATES[state]), shape) for state in seen)
    draw = _counts if len(sites) > SITES_BY_NAME else _cells
    svg, wide = draw(sites, states, seen)
    return Chart(svg, keys, scroll=wide)


def _states(record: Round, sites: Sequence[str]) -> list[str]:
    """What each site did in a round."""
    answered, late, asked = set(record.answered), set(record.late), set(record.asked)

    def state(site: str) -> str:
        if site in record.refused:
            return "refused"
        if site in answered:
            return "answered"
        if site in late:
            return "late"
        return "no answer" if site in asked else "not asked"

    return [state(site) for site in sites]


def _cells(sites: list[str], states: dict[int, list[str]], seen: list[str]) -> tuple[str, bool]:
    names = [shortened(name) for name in sites]
    left = name_width_px(names)
    width = max(WIDTH_PX, min(left + 16 + 13 * len(states), 1100))
    figure, axes = canvas(46 + 21 * len(names), left_px=left, right_px=12, top_px=4, width_px=width)
    names_at_left(axes, names)
    whole_ticks(axes)
    for state in seen:
        _fill(
            axes,
            _STATES[state],
            (
                (number, row)
                for number, column in states.items()
                for row, found in enumerate(column)
                if found == state
            ),
        )
    axes.set_xlim(min(states) - 0.6, max(states) + 0.6)
    axes.set_xlabel("round")
    axes.spines["bottom"].set_visible(False)
    return to_svg(figure, "participation", "Participation per round"), width > WIDTH_PX


def _fill(axes: Axes, colour: str, cells: Iterable[tuple[int, int]]) -> None:
    """All cells of one state as one path: a page with thousands of cells stays small."""
    half_x, half_y = 0.43, 0.36
    corners: list[tuple[float, float]] = []
    for x, y in cells:
        low_x, high_x, low_y, high_y = x - half_x, x + half_x, y - half_y, y + half_y
        corners += [(low_x, low_y), (high_x, low_y), (high_x, high_y), (low_x, high_y), (0, 0)]
    steps = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY]
    outline = Outline(corners, steps * (len(corners) // 5))
    axes.add_patch(PathPatch(outline, facecolor=colour, linewidth=0))


def _counts(sites: list[str], states: dict[int, list[str]], seen: list[str]) -> tuple[str, bool]:
    figure, axes = canvas(200)
    grid(axes, "y")
    whole_ticks(axes)
    numbers = list(states)
    start = np.zeros(len(numbers))
    for state in seen:
        height = np.array([column.count(state) for column in states.values()])
        axes.bar(numbers, height, bottom=start, width=0.8, color=_STATES[state])
        start += height
    axes.set_xlabel("round")
    axes.set_ylim(0, max(len(sites), 1))
    return to_svg(figure, "participation", "Sites per round by what they did"), False
