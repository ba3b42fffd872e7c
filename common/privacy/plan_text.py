"""A plan as text: what is assumed, a table, and a small plot for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.plan import TARGETS, SitePlan, quarter_rounds
from fedvox.common.privacy.terms import loose, patients_per_step
from fedvox.common.study import Study

_WIDTH, _HEIGHT = 60, 12
_MARKS = "*o+x#%@&"


def assumptions(study: Study, given: bool, patients: Sequence[int] = ()) -> Iterator[str]:
    """What the figures take for granted, a line each."""
    privacy, training, simulation = study.privacy, study.training, study.simulation
    yield (
        f"{study.study.name}: {training.rounds} rounds of {training.local_steps} steps, "
        f"{patients_per_step(study)} patients a step on average, clip norm {privacy.clip_norm:g}"
    )
    if privacy.mode == "none":
        yield "privacy.mode is none: nothing is protected; this is what mode = 'patient' would cost"
    if not given:
        yield (
            f"training patients of an average site of the simulation (simulation.patients = "
            f"{simulation.patients}, less data.test and data.validation); others with --patients"
        )
    yield from _placement(study)
    if rounded := {count: bucketed(count) for count in patients if count != bucketed(count)}:
        pairs = ", ".join(f"{count} as {taken}" for count, taken in sorted(rounded.items()))
        yield f"a site tells and uses its number of patients rounded down: {pairs}"
    for count in sorted(set(patients)):
        if text := loose(study.privacy.delta, count):
            yield f"CAREFUL: {text}"


def _placement(study: Study) -> Iterator[str]:
    if study.privacy.placement == "local":
        return
    honest = study.privacy.honest_sites or study.participation.min_sites
    yield (
        f"each site adds 1/{math.sqrt(honest):.4g} of the noise; holds if {honest} sites or more "
        "in each sum are honest"
    )


def table(study: Study, sites: Sequence[SitePlan]) -> str:
    """A row a site, right-aligned below two lines of heading."""
    quarters = quarter_rounds(study.training.rounds)
    plain = ["patients", "sample rate", "delta", "noise", "steps"]
    heads = [*plain, *(f"{number}" for number in quarters), *(f"{goal:g}" for goal in TARGETS)]
    rows = [_cells(site, quarters) for site in sites]
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    first = len(plain)
    second = first + len(quarters)
    groups = [(0, first, ""), (first, second, "epsilon after round")]
    groups.append((second, len(heads), "noise that an epsilon needs"))
    for start, end, title in groups:
        room = sum(widths[start:end]) + 2 * (end - start - 1)
        widths[start] += max(0, len(title) - room)
    over = "  ".join(
        title.rjust(sum(widths[start:end]) + 2 * (end - start - 1)) for start, end, title in groups
    )
    lines = [
        "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in [heads, *rows]
    ]
    return "\n".join([over, *lines])


def _cells(site: SitePlan, quarters: Sequence[int]) -> list[str]:
    terms = site.terms
    return [
        str(site.patients),
        f"{terms.sample_rate:.4g}",
        f"{terms.delta:g}",
        f"{terms.noise_multiplier:#.4g}",
        str(site.steps),
        *(_epsilon(site.epsilon_after[number]) for number in quarters),
        *(f"{site.noise_for[goal]:#.4g}" for goal in TARGETS),
    ]


def _epsilon(value: float) -> str:
    """Rounded up: what is printed is never less than what is spent."""
    if not math.isfinite(value):
        return "inf"
    return f"{math.ceil(value * 100 - 1e-9) / 100:.2f}"


def text_plot(sites: Sequence[SitePlan]) -> str:
    """Epsilon over rounds in characters; of many sites the first few."""
    shown = [
        site for site in sites[: len(_MARKS)] if math.isfinite(max(site.epsilon_after.values()))
    ]
    if not shown:
        return ""
    rounds = shown[0].terms.rounds
    top = max(max(site.epsilon_after.values()) for site in shown) or 1.0
    width = min(_WIDTH, rounds)
    rows = [[" "] * width for _ in range(_HEIGHT)]
    for mark, site in reversed(list(zip(_MARKS, shown, strict=False))):
        for column in range(width):
            value = _at(site, (column + 1) * rounds / width)
            rows[_HEIGHT - 1 - round(value / top * (_HEIGHT - 1))][column] = mark
    lines = [f"{_label(n, top):>8} |{''.join(row)}".rstrip() for n, row in enumerate(rows)]
    lines += [" " * 9 + "+" + "-" * width, " " * 10 + f"round {rounds}".rjust(width)]
    if len(shown) > 1:
        marks = (f"{m} {s.patients} patients" for m, s in zip(_MARKS, shown, strict=False))
        lines.append(" " * 10 + "   ".join(marks))
    return "\n".join(["epsilon", *lines])


def _label(row: int, top: float) -> str:
    share = 1 - row / (_HEIGHT - 1)
    return f"{top * share:.2f}" if row in (0, _HEIGHT - 1) else ""


def _at(site: SitePlan, number: float) -> float:
    """Epsilon at a round between those worked out, along a straight line."""
    points = [(0, 0.0), *sorted(site.epsilon_after.items())]
    for (left, low), (right, high) in pairwise(points):
        if number <= right:
            return low + (high - low) * (number - left) / (right - left)
    return points[-1][1]
