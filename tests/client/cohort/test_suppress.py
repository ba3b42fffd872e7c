"""What is suppressed cannot be brought back, not even by who knows the rule."""

from collections import defaultdict
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fedvox.client.cohort.suppress import gathered, gathered_kinds, gathered_share, rounded
from fedvox.common.privacy.bucket import bucketed

LEAST = 5
COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=9)


def test_by_hand() -> None:
    assert gathered([0, 20, 0, 2, 0], 22, 5) == (0, 22, 0, 0, 0)
    assert gathered([7, 0, 1, 0, 9], 17, 5) == (8, 0, 0, 0, 9)  # of two as near the first
    assert gathered([20, 0, 0, 3, 3, 0], 26, 5) == (20, 0, 0, 0, 6, 0)  # enough together
    assert gathered([2, 1, 2, 0, 0, 0, 2, 2, 2], 11, 5) == (5, 0, 0, 0, 0, 0, 0, 6, 0)
    assert gathered([2, 1, 1], 4, 5) == (0, 0, 0)
    assert gathered([26, 0], 28, 5) == (28, 0)  # two are in no cell: all count
    assert gathered([3, 0], 28, 5) == (0, 0)
    assert gathered([6, 0], 28, 5) == (6, 0)
    assert gathered_kinds([26, 2, 0], 5) == (28, 0, 0)
    assert gathered_kinds([3, 3, 3], 5) == (9, 0, 0)
    assert gathered_kinds([2, 2], 5) == (0, 0)
    assert [gathered_share(n, 20, 5) for n in (0, 4, 5, 15, 16, 20)] == [0, 0, 5, 15, 20, 20]
    assert rounded([0, 5, 9, 10, 28, 123]) == (0, 5, 5, 10, 25, 100)


@given(COUNTS)
def test_cells_are_empty_or_enough_and_nobody_is_lost(counts: list[int]) -> None:
    total = sum(counts)
    for cells in (gathered(counts, total, LEAST), gathered_kinds(counts, LEAST)):
        assert all(cell == 0 or cell >= LEAST for cell in cells)
        assert sum(cells) == (total if total >= LEAST else 0)
    once = gathered(counts, total, LEAST)
    assert gathered(once, total, LEAST) == once
    kinds = gathered_kinds(counts, LEAST)
    assert gathered_kinds(kinds, LEAST) == kinds


def told(counts: tuple[int, ...], kinds: bool) -> tuple[tuple[int, ...], int]:
    """A histogram and its total, as they leave."""
    total = sum(counts)
    cells = gathered_kinds(counts, LEAST) if kinds else gathered(counts, total, LEAST)
    return rounded(cells), bucketed(total) if total >= LEAST else 0


def test_every_table_is_tried_and_no_small_cell_is_given_away() -> None:
    """An attacker who knows the rule and the total: which tables would have told the same?"""
    for kinds in (True, False):
        possible: dict[object, list[tuple[int, ...]]] = defaultdict(list)
        for counts in product(range(25), repeat=3):
            if sum(counts) < 25:  # all tables of so many patients, and so all that look alike
                possible[told(counts, kinds)].append(counts)
        for tables in possible.values():
            for cell in range(3):
                values = {table[cell] for table in tables}
                # Empty, or enough for all that is known: that somebody rare is there is not.
                assert min(values) == 0 or max(values) >= LEAST
                assert len(values) > 1 or values == {0}


def test_the_attack_would_find_plain_suppression() -> None:
    """The same attack on cells that are only struck out, beside an exact total."""
    possible: dict[object, list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(12), repeat=3):
        struck = tuple(count if count >= LEAST else 0 for count in counts)
        possible[(struck, sum(counts))].append(counts)
    given_away = [
        tables
        for tables in possible.values()
        if any(min(t[cell] for t in tables) > 0 and max(t[cell] for t in tables) < LEAST
               for cell in range(3))
    ]  # fmt: skip
    assert given_away
