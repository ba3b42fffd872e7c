"""The split of the noise and the update of the clipping norm."""

import math

import numpy as np
import pytest

from fedvox.common.errors import InputError, NotFiniteError
from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.adaptive_clip import (
    count_noise_for,
    next_clip_norm,
    noisy_share,
    split_noise,
)
from fedvox.common.privacy.charge import Charge


def test_the_split_by_hand() -> None:
    # 1 / sqrt(1 / 0.6^2 - 1 / (2 * 0.5)^2) = 1 / sqrt(25/9 - 1) = 0.75
    split = split_noise(0.6, 0.5)
    assert split.gradient == pytest.approx(0.75) and split.count == 0.5


@pytest.mark.parametrize(("noise", "count_noise"), [(1.0, 0.8), (2.0, 5.0), (0.7, 50.0)])
def test_both_parts_together_cost_what_the_total_costs(noise: float, count_noise: float) -> None:
    """With everybody in each step: half a patient over the count's noise is its multiplier."""
    split = split_noise(noise, count_noise)
    apart = epsilon([Charge(1.0, split.gradient, 1), Charge(1.0, 2 * split.count, 1)], 1e-5)
    assert apart == pytest.approx(epsilon([Charge(1.0, noise, 1)], 1e-5), rel=2e-3)


@pytest.mark.parametrize(("noise", "count_noise"), [(1.0, 0.5), (2.0, 0.9), (-1.0, 1.0)])
def test_a_count_that_alone_costs_more_is_refused(noise: float, count_noise: float) -> None:
    with pytest.raises(InputError, match="count"):
        split_noise(noise, count_noise)


def test_the_default_count_hardly_costs_the_gradients() -> None:
    assert count_noise_for(200) == 10
    assert split_noise(1.0, count_noise_for(200)).gradient < 1.002
    assert count_noise_for(4) == 1


def test_no_noise_stays_no_noise() -> None:
    assert split_noise(0.0, 1.0).gradient == 0.0


def test_the_share_from_halves() -> None:
    # 3 of 4 unclipped: 3/2 - 1/2 = 1; over 4 patients, plus a half
    assert noisy_share(1.0, 0.0, 4) == 0.75


def test_the_update_by_hand() -> None:
    assert next_clip_norm(2.0, 0.75, 0.5) == pytest.approx(2 * math.exp(-0.2 * 0.25))
    assert next_clip_norm(2.0, 0.5, 0.5) == 2.0


def test_noise_far_outside_moves_no_further_than_all_or_none() -> None:
    assert next_clip_norm(1.0, 1e9, 0.5) == next_clip_norm(1.0, 1.0, 0.5)
    assert next_clip_norm(1.0, -1e9, 0.5) == next_clip_norm(1.0, 0.0, 0.5)


@pytest.mark.parametrize("share", [math.nan, math.inf])
def test_a_share_that_is_no_number_moves_nothing(share: float) -> None:
    with pytest.raises(NotFiniteError):
        next_clip_norm(1.0, share, 0.5)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("start", [1e-3, 300.0])
def test_it_settles_at_the_quantile(quantile: float, start: float) -> None:
    norms = np.random.default_rng(0).lognormal(1.0, 0.5, 4001)
    clip_norm = start
    for _ in range(300):
        clip_norm = next_clip_norm(clip_norm, float((norms <= clip_norm).mean()), quantile)
    assert clip_norm == pytest.approx(np.quantile(norms, quantile), rel=0.02)
