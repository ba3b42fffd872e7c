"""Cells: every number has one, and it is the nearest."""

import numpy as np
import pytest

from fedvox.common.cohort.axes import NUMBERS, WORDS, cell_of, cell_of_count


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_counted_in_the_nearest_cell(name: str) -> None:
    centres = np.array(NUMBERS[name])
    assert (np.diff(centres) > 0).all()
    rng = np.random.default_rng(0)
    for value in [*centres, *rng.uniform(centres[0] - 10, centres[-1] + 10, 500)]:
        distance = np.abs(centres - value)
        assert distance[cell_of(name, float(value))] == distance.min()


def test_counts_have_cells() -> None:
    assert [WORDS["cases"][cell_of_count("cases", n)] for n in (1, 2, 3, 5, 6, 99)] == [
        "1", "2", "3 to 5", "3 to 5", "6 and more", "6 and more",
    ]  # fmt: skip
    channels = [WORDS["channels"][cell_of_count("channels", n)] for n in (1, 4, 5, 30)]
    assert channels == ["1", "4", "5 and more", "5 and more"]
