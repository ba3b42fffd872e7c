"""A plan as a picture: epsilon over rounds, a line for each site."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedvox.common.errors import InputError
from fedvox.common.files import write_bytes_atomic
from fedvox.common.privacy.plan import SitePlan
from fedvox.common.study import Study

_INK, _MUTED, _LINE = "#1f2328", "#59636e", "#d8dee4"
_COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700")
_DASHES = ("solid", "dashed", "dotted")


def draw_plan(path: Path, study: Study, sites: Sequence[SitePlan]) -> None:
    """Writes the picture, as SVG or PNG by the file's suffix."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise InputError(f"{path}: --plot writes .svg or .png; name the file so")
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "fedvox", "font.size": 10, "axes.unicode_minus": False}):
        figure = _figure(study, sites)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(picture, format=kind, dpi=160, metadata=metadata)
    write_bytes_atomic(path, picture.getvalue())


def _figure(study: Study, sites: Sequence[SitePlan]) -> Figure:
    figure = Figure(figsize=(6.4, 3.8), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, site in enumerate(sites):
        points = [(0, 0.0), *sorted(site.epsilon_after.items())]
        rounds, spent = zip(*[p for p in points if math.isfinite(p[1])], strict=True)
        axes.plot(
            rounds,
            spent,
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
            linewidth=1.8,
            label=f"{site.patients} patients: noise {site.terms.noise_multiplier:.4g}, "
            f"delta {site.terms.delta:g}",
        )
    if study.privacy.epsilon and not study.privacy.noise_multiplier:
        axes.axhline(study.privacy.epsilon, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"target {study.privacy.epsilon:g}",
            (0, study.privacy.epsilon),
            xytext=(4, 4),
            textcoords="offset points",
            color=_MUTED,
        )
    axes.set_title(
        f"{study.study.name}: what the rounds spend".replace("$", r"\$"),
        loc="left",
        color=_INK,
        fontsize=11,
    )
    axes.set_xlabel("round", color=_MUTED)
    axes.set_ylabel("epsilon", color=_MUTED)
    axes.set_xlim(0, study.training.rounds)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.grid(True, axis="y", color=_LINE, linewidth=0.8)
    axes.tick_params(colors=_MUTED, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.legend(loc="lower right", frameon=False, labelcolor=_INK, fontsize=9)
    return figure
