"""Small cells made to vanish, so that nothing that is told can bring them back.

Whoever stands in a cell with too few others is counted in the nearest cell that has enough. So the
sum of each histogram stays the number of patients, and what is told is, to the last number, what a
site without any rare patient would tell: that there is one cannot be found out, by subtracting a
row from a total, by holding histograms against each other, or by knowing this rule. The price is
that a cell may hold some who belong beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedvox.common.privacy.bucket import bucketed


def gathered(counts: Sequence[int], of: int, least: int) -> tuple[int, ...]:
    """The counts of so many patients with every cell empty or of `least` and more.

    Of ordered cells. The sum stays, where those who are in no cell are enough as well; else all of
    the patients count, or none.
    """
    cells = list(counts)
    total = gathered_share(sum(cells), of, least)
    if not total:
        return (0,) * len(cells)
    cells[max(range(len(cells)), key=cells.__getitem__)] += total - sum(cells)
    while small := [at for at, count in enumerate(cells) if 0 < count < least]:
        at = min(small, key=lambda place: (cells[place], place))
        others = [place for place, count in enumerate(cells) if count and place != at]
        to = min(others, key=lambda place: (abs(place - at), cells[place], place))
        cells[to] += cells[at]
        cells[at] = 0
    return tuple(cells)


def gathered_kinds(counts: Sequence[int], least: int) -> tuple[int, ...]:
    """`gathered` for cells without an order: the few are counted with the most."""
    if sum(counts) < least:
        return (0,) * len(counts)
    most = max(range(len(counts)), key=lambda place: (counts[place], -place))
    cells = [count if count >= least else 0 for count in counts]
    cells[most] += sum(counts) - sum(cells)
    return tuple(cells)


def gathered_share(count: int, of: int, least: int) -> int:
    """How many of some have a thing: none, all, or so many that both sides are enough."""
    if count < least:
        return 0
    return of if of - count < least else count


def rounded(counts: Sequence[int]) -> tuple[int, ...]:
    """Each count rounded down, so that one patient who comes or goes hardly ever shows."""
    return tuple(map(bucketed, counts))
