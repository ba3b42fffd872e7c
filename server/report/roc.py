"""ROC curves of a classifier."""

from __future__ import annotations

import math

from fedvox.server.report.draw import (
    MUTED,
    Chart,
    Key,
    canvas,
    grid,
    series,
    to_svg,
    variable,
)
from fedvox.server.report.records import Run


def roc_chart(run: Run) -> Chart | None:
    """One curve a class, each against all others; None for a segmentation."""
    curves = {name: points for name, points in run.tally.roc.items() if len(points) > 1}
    if not curves:
        return None
    figure, axes = canvas(330, left_px=46, right_px=14)
    grid(axes, "both")
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    keys = []
    for index, (name, points) in enumerate(curves.items()):
        colour, dashes, shape = series(index)
        known = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
        axes.plot(*zip(*known, strict=True), color=colour, linestyle=dashes, linewidth=2)
        keys.append(Key(name, variable(colour), shape))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 − specificity")
    axes.set_ylabel("sensitivity", color=MUTED, fontsize=10.5)
    return Chart(to_svg(figure, "roc", "ROC curves, each class against the others"), tuple(keys))
