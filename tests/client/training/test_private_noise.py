"""Noise and draws as they are taken in a step, held against what they are said to be."""

import pickle

import numpy as np
import pytest
from scipy import stats

from fedvox.client.training.private.noise import Noise, seeded_noise, system_noise
from fedvox.client.training.private.sampling import in_portions, poisson_draw

KEY = bytes(range(32))
ODD = 300_001
"""More than a block, and odd."""


def test_gaussian_numbers_are_standard_normal() -> None:
    numbers = Noise(KEY).gaussian(ODD).numpy()
    assert len(numbers) == ODD
    assert stats.kstest(numbers, "norm").pvalue > 0.001
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
    assert np.abs(numbers).max() > 4


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = Noise(KEY).uniform(ODD)
    assert stats.kstest(numbers, "uniform").pvalue > 0.001
    assert numbers.min() >= 0 and numbers.max() < 1


def test_noise_of_the_system_is_never_the_same_and_a_seeds_always_is() -> None:
    work = ("a" * 64, 3, "b" * 64)
    assert not np.array_equal(system_noise(*work).uniform(4), system_noise(*work).uniform(4))
    seeded = seeded_noise(7, "north")
    np.testing.assert_array_equal(seeded(*work).uniform(4), seeded(*work).uniform(4))
    others = [
        seeded_noise(8, "north")(*work),
        seeded_noise(7, "south")(*work),
        seeded("c" * 64, 3, "b" * 64),
        seeded("a" * 64, 4, "b" * 64),
        seeded("a" * 64, 3, "d" * 64),
    ]
    for other in others:
        assert not np.array_equal(other.uniform(4), seeded(*work).uniform(4))


def test_branches_are_streams_of_their_own_in_a_fixed_order() -> None:
    one, two = Noise(KEY), Noise(KEY)
    first = [one.branch().gaussian(1000).numpy() for _ in range(3)]
    again = [branch.gaussian(1000).numpy() for branch in [two.branch() for _ in range(3)]]
    np.testing.assert_array_equal(first, again)
    own = one.gaussian(1000).numpy()
    streams = np.array([*first, own, Noise(KEY).gaussian(1000).numpy()])
    assert np.abs(np.corrcoef(streams)[~np.eye(5, dtype=bool)]).max() < 5 / np.sqrt(1000)
    assert type(Louder(KEY).branch()) is Louder, "a test's noise would be lost on the way"


class Louder(Noise):
    """Twice the noise."""


def test_noise_cannot_be_written_down() -> None:
    with pytest.raises(TypeError, match="never written down"):
        pickle.dumps(Noise(KEY))


def test_draws_are_poisson_samples() -> None:
    """Counts are binomial, and patients do not know of each other."""
    noise, rate, draws = Noise(KEY), 0.3, 4000
    drawn = np.zeros((draws, 10), bool)
    for number in range(draws):
        drawn[number, poisson_draw(10, rate, noise)] = True
    expected = stats.binom.pmf(range(11), 10, rate) * draws
    counts = np.bincount(drawn.sum(1), minlength=11)
    often = expected > 5
    chi = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert stats.chi2.sf(chi, often.sum() - 1) > 0.001
    together = np.corrcoef(drawn.T)[~np.eye(10, dtype=bool)]
    assert np.abs(together).max() < 5 / np.sqrt(draws)


def test_an_empty_draw_and_a_full_one() -> None:
    assert poisson_draw(5, 0.0, Noise(KEY)) == []
    assert poisson_draw(5, 1.0, Noise(KEY)) == [0, 1, 2, 3, 4]


def test_portions_hold_whole_patients() -> None:
    sizes = [1, 3, 9, 1, 1]
    assert list(in_portions([0, 1, 2, 3, 4], sizes, 4)) == [[0, 1], [2], [3, 4]]
    assert list(in_portions([], sizes, 4)) == []
