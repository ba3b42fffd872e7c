"""Who adds how much of the noise, and why shares need a sum after every step."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from fedvox.common.errors import InputError
from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.placement import place_distributed, place_locally


def test_a_site_that_relies_on_nobody_adds_what_it_is_charged() -> None:
    placed = place_locally(1.5)
    assert (placed.added, placed.charged, placed.charged_in(1)) == (1.5, 1.5, 1.5)


def test_the_shares_of_the_honest_sites_sum_to_the_noise_that_is_charged() -> None:
    placed = place_distributed(1.5, 9)
    assert (placed.added, placed.charged) == (0.5, 1.5)
    drawn = np.random.default_rng(0).normal(0, placed.added, (9, 200_000)).sum(0)
    assert drawn.std() == pytest.approx(placed.charged, rel=0.01)


def test_a_sum_of_too_few_protects_by_the_own_share_only() -> None:
    placed = place_distributed(1.5, 9)
    assert placed.charged_in(9) == placed.charged_in(40) == 1.5
    assert placed.charged_in(8) == 0.5


def test_figures_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="honest_sites"):
        place_distributed(1.0, 0)
    with pytest.raises(InputError, match="sum of 0"):
        place_distributed(1.0, 2).charged_in(0)


def test_with_several_steps_before_the_sum_each_site_adds_all() -> None:
    assert place_distributed(1.5, 9, steps_per_sum=2) == place_locally(1.5)
    assert place_distributed(1.5, 9, steps_per_sum=1).added == 0.5


def test_why_shares_would_not_do_for_several_steps() -> None:
    """Two steps before a sum of 100 sites: noise 10 in the sum, a share of 1 at this site.

    Step 1 moves the weight by the patient's gradient of 1 and the own share. In step 2 each of a
    thousand other patients pushes by +1 or -1, by where the weight stands: that outweighs all
    noise in the sum, so the sum tells whether patient + own share exceeded one half.
    """
    promised, delta = epsilon([Charge(1.0, 10.0, 2)], 1e-3), 1e-3
    seen_if_there, seen_if_not = norm.sf(0.5 - 1.0), norm.sf(0.5)
    assert seen_if_there - math.exp(promised) * seen_if_not > 100 * delta
    kept = epsilon([Charge(1.0, 1.0, 2)], 1e-3)
    assert seen_if_there - math.exp(kept) * seen_if_not < delta
