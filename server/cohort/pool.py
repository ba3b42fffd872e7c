"""Summaries of several sites under one roof, and the numbers that no one of them can decide.

A site counts by its patients, up to a share of the whole: with three sites and more none has half
of the weight, so that a weighted median over the sites' own medians lies between those of the
others, whatever one of them says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from fedvox.common.cohort.axes import NUMBERS
from fedvox.common.cohort.summary import Summary, read_summary
from fedvox.common.errors import InputError

MOST_SHARE = 1 / 3
"""Of the weight of all sites, that one can have; with fewer sites than three all weigh alike."""


def capped_weights(counts: Sequence[int], most_share: float = MOST_SHARE) -> tuple[float, ...]:
    """Weights that add up to one: as the counts, but none above the share.

    Where so few sites cannot keep to it, all the same.
    """
    total = sum(counts)
    here = sum(count > 0 for count in counts)
    if not here:
        return (0.0,) * len(counts)
    if here * most_share <= 1 + 1e-9:
        return tuple(1 / here if count else 0.0 for count in counts)
    cap, rest = float(max(counts)), sorted(counts, reverse=True)
    for capped, count in enumerate(rest):
        below = sum(rest[capped:])
        # `capped` sites at the cap, the others as they are: cap = share * (capped * cap + below)
        cap = most_share * below / (1 - capped * most_share)
        if count <= cap:
            break
    limited = [min(float(count), cap) for count in counts]
    return tuple(weight / sum(limited) for weight in limited) if total else (0.0,) * len(counts)


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The value with half of the weight on either side; the middle of two that share it."""
    pairs = sorted(pair for pair in zip(values, weights, strict=True) if pair[1] > 0)
    half = sum(weight for _, weight in pairs) / 2
    for (value, _), (at, so_far) in zip(
        pairs, enumerate(accumulate(weight for _, weight in pairs)), strict=True
    ):
        if abs(so_far - half) < 1e-9:
            return (value + pairs[at + 1][0]) / 2
        if so_far > half:
            return value
    raise ValueError("there is nothing to take a median of")


def quantile(counts: Sequence[float], centres: Sequence[float], share: float) -> float:
    """The centre of the first cell up to which the share of a histogram lies."""
    wanted = share * sum(counts)
    for centre, so_far in zip(centres, accumulate(counts), strict=True):
        if so_far >= wanted - 1e-9 and so_far > 0:
            return centre
    raise ValueError("the histogram is empty")


@dataclass(frozen=True)
class Pool:
    """What the sites told."""

    summaries: tuple[Summary, ...]

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """How much each site counts."""
        return capped_weights([summary.patients for summary in self.summaries])

    @property
    def counting(self) -> tuple[Summary, ...]:
        """The sites that tell of anybody; the others have no weight."""
        return tuple(summary for summary in self.summaries if summary.patients)

    def told(self, name: str) -> Iterator[tuple[Summary, tuple[int, ...]]]:
        """The sites that told of a number, with their histograms."""
        for summary in self.counting:
            counts = summary.numbers.get(name, ())
            if sum(counts):
                yield summary, counts

    def middle(self, name: str) -> float | None:
        """The weighted median of the sites' medians; None where no site told."""
        told = list(self.told(name))
        if not told:
            return None
        medians = [quantile(counts, NUMBERS[name], 0.5) for _, counts in told]
        return weighted_median(medians, capped_weights([one.patients for one, _ in told]))

    def lower(self, name: str, share: float) -> float | None:
        """A low quantile of all patients that holds whichever one of the sites is left out."""
        told = list(self.told(name))
        if len(told) < 3:
            return self.middle(name)
        found = []
        for out in range(len(told)):
            kept = [one for at, one in enumerate(told) if at != out]
            found.append(quantile(_mixed(kept), NUMBERS[name], share))
        return max(found)

    def share(self, name: str, cell: int) -> float:
        """The weighted share of a cell of a histogram of kinds."""
        told = [one for one in self.counting if sum(one.words.get(name, ()))]
        weights = capped_weights([one.patients for one in told])
        shares = (one.words[name][cell] / sum(one.words[name]) for one in told)
        return sum(weight * share for weight, share in zip(weights, shares, strict=True))


def _mixed(told: Sequence[tuple[Summary, tuple[int, ...]]]) -> list[float]:
    """One histogram of several, by capped weights."""
    weights = capped_weights([one.patients for one, _ in told])
    sums = [sum(counts) for _, counts in told]
    cells = zip(*(counts for _, counts in told), strict=True)
    return [
        sum(weight * count / total for weight, count, total in zip(weights, row, sums, strict=True))
        for row in cells
    ]


def pool_of(summaries: Sequence[Summary]) -> Pool:
    """The pool of summaries; InputError where a site stands twice, or nobody tells anything."""
    names = [summary.site for summary in summaries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]} stands twice; give one summary of each site, the newest")
    if not any(summary.patients for summary in summaries):
        raise InputError("no summary counts a patient; there is nothing to plan from")
    return Pool(tuple(sorted(summaries, key=lambda summary: summary.site)))


def read_pool(paths: Sequence[Path]) -> Pool:
    """The pool of the summaries in files."""
    return pool_of([read_summary(path) for path in paths])
