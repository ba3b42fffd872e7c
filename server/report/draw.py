"""Drawing small charts as SVG that belongs to the page: its fonts, its colours, light or dark.

Matplotlib draws with placeholder colours, which become CSS variables in the SVG. Nothing global
is touched but matplotlib's settings while one figure is written, under a lock.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedvox.server.report.wording import byte_count

INK, MUTED, LINE, CARD = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
FEDERATED, POOLED, ALONE = "#0a0b05", "#0a0b06", "#0a0b07"
GOOD, BAD = "#0a0b08", "#0a0b09"
SERIES = tuple(f"#0a0b1{index}" for index in range(8))
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    CARD: "card",
    FEDERATED: "federated",
    POOLED: "pooled",
    ALONE: "alone",
    GOOD: "good",
    BAD: "bad",
    **{colour: f"series-{index}" for index, colour in enumerate(SERIES)},
}
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
SITES_BY_NAME = 24
"""With more sites than this, charts show distributions, not names."""
WIDTH_PX = 385
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedvox",
    "svg.image_inline": True,
    "path.simplify": True,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
}
_lock = threading.Lock()


@dataclass(frozen=True)
class Key:
    """One entry of a legend, which the page draws as HTML."""

    label: str
    colour: str
    """Name of a CSS variable."""
    shape: str = "line"
    """line, dash, dots, square, dot, ring, diamond."""


@dataclass(frozen=True)
class Chart:
    """A finished chart."""

    svg: str
    keys: tuple[Key, ...] = ()
    scroll: bool = False
    """Keep it at its natural width and let it scroll where the page is narrower."""


def variable(colour: str) -> str:
    """The CSS variable that a placeholder colour stands for."""
    return f"--{_VARIABLES[colour]}"


def series(index: int) -> tuple[str, Any, str]:
    """Colour, dashes and legend shape of the n-th site: no two of 24 look the same."""
    turn = index // len(SERIES) % len(DASHES)
    return SERIES[index % len(SERIES)], DASHES[turn], ("line", "dash", "dots")[turn]


def canvas(
    height_px: float,
    left_px: float = 46,
    right_px: float = 12,
    top_px: float = 10,
    bottom_px: float = 36,
    width_px: float = WIDTH_PX,
) -> tuple[Figure, Axes]:
    """A figure with one axes inside fixed margins: every chart of a kind lines up."""
    figure = Figure(figsize=(width_px / 72, height_px / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (
            left_px / width_px,
            bottom_px / height_px,
            (width_px - left_px - right_px) / width_px,
            (height_px - top_px - bottom_px) / height_px,
        )
    )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=MUTED, length=0, pad=5, labelsize=10.5)
    axes.xaxis.label.set(color=MUTED, fontsize=10.5)
    axes.set_axisbelow(True)
    return figure, axes


def grid(axes: Axes, axis: Literal["x", "y", "both"]) -> None:
    """Thin lines across one direction."""
    axes.grid(True, axis=axis, color=LINE, linewidth=0.8)


def whole_ticks(axes: Axes) -> None:
    """Round numbers, not fractions, below the chart."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def byte_ticks(axes: Axes) -> None:
    """Bytes in decimal units at the left."""
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.yaxis.set_major_formatter(FuncFormatter(_round_bytes))


def _round_bytes(value: float, _: int) -> str:
    figure, unit = byte_count(value).split(" ")
    return f"{float(figure):g} {unit}"


def names_at_left(axes: Axes, names: Sequence[str], emphasised: Iterable[str] = ()) -> None:
    """Rows from top to bottom with their names, some of them in bold."""
    strong = set(emphasised)
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set(color=INK, fontweight="bold" if name in strong else "normal")


def literal(text: str) -> str:
    """Text that matplotlib must not read as mathematics."""
    return text.replace("$", r"\$")


def name_width_px(names: Iterable[str]) -> float:
    """Room that the longest of these names needs at the left of a chart."""
    return 14 + 6.4 * max((len(name) for name in names), default=0)


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an SVG element; `name` keeps its ids apart from those of other charts."""
    text = io.StringIO()
    with _lock, rc_context(_SETTINGS):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _belonging_to_page(text.getvalue(), name, title)


def _belonging_to_page(svg: str, name: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="', 'href="', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"#0a0b[01][0-9]", lambda hit: f"var({variable(hit.group())})", svg)
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if view is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    size = f'viewBox="0 0 {view.group(1)} {view.group(2)}" style="--width: {view.group(1)}px"'
    head = f'<svg {size} role="img" aria-label="{escape(title, quote=True)}">'
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
