"""From the study's privacy section to figures for one site."""

import time

import pytest

from fedvox.common.errors import InputError, StudyError
from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.terms import (
    Terms,
    delta_below,
    divisor_for,
    found_noise,
    patients_per_step,
    terms_for,
)
from fedvox.common.study import Study
from fedvox.common.study.load import parse_study


def study(*settings: str) -> Study:
    small = ("training.rounds=5", "training.local_steps=10", "training.batch_size=4")
    return parse_study("", settings=["privacy.mode=patient", *small, *settings])


def test_noise_that_is_given_is_taken() -> None:
    given = study("privacy.noise_multiplier=1.5", "privacy.clip_norm=0.3", "privacy.delta=1e-4")
    assert terms_for(given, 16) == Terms(0.25, 1.5, 10, 5, 0.3, 1e-4)


def test_a_round_charges_its_steps() -> None:
    terms = terms_for(study("privacy.noise_multiplier=1.5"), 16)
    assert terms.charge_of_round() == Charge(0.25, 1.5, 10)
    assert terms.charge_of(3) == Charge(0.25, 1.5, 30)


def test_noise_that_is_found_keeps_all_rounds_to_the_target() -> None:
    terms = terms_for(study("privacy.epsilon=3.0"), 16)
    rounds = [terms.charge_of_round()] * terms.rounds
    assert 2.98 < epsilon(rounds, terms.delta) <= 3.0


@pytest.mark.parametrize(
    ("patients", "delta"),
    [(1, 0.1), (9, 0.1), (10, 0.01), (24, 0.01), (99, 0.01), (100, 1e-3), (12_345, 1e-5)],
)
def test_delta_is_the_power_of_ten_below_one_over_the_patients(patients: int, delta: float) -> None:
    assert delta_below(patients) == delta
    assert delta < 1 / patients <= 10 * delta
    assert terms_for(study("privacy.noise_multiplier=1.0"), patients).delta == delta


def test_patients_per_step_or_else_the_batch() -> None:
    assert patients_per_step(study()) == 4
    given = study("privacy.patients_per_step=12", "privacy.noise_multiplier=1.0")
    assert terms_for(given, 48).sample_rate == 0.25
    assert terms_for(given, 7).sample_rate == 1.0


def test_distributed_noise_is_shared_by_the_honest_sites() -> None:
    shared = (
        "privacy.placement=distributed", "privacy.noise_multiplier=3.0", "training.optimizer=sgd",
        "training.local_steps=1", "strategy.weighting=uniform",
    )  # fmt: skip
    nine = ("privacy.honest_sites=9", "participation.min_sites=9")
    terms = terms_for(study(*shared, *nine), 16)
    assert (terms.honest_sites, terms.placed.added, terms.noise_multiplier) == (9, 1.0, 3.0)
    least = terms_for(study(*shared, "participation.min_sites=4"), 16)
    assert least.placed.added == 1.5


def test_no_share_is_left_to_others_where_several_steps_are_summed() -> None:
    terms = terms_for(study("privacy.mode=none", "privacy.placement=distributed"), 16)
    assert terms.steps_per_round > 1 and terms.honest_sites == 1
    assert terms.placed.added == terms.noise_multiplier


@pytest.mark.parametrize("patients", [1, 5, 16, 40, 300])
def test_where_sites_share_the_noise_their_sums_are_divided_by_the_same(patients: int) -> None:
    """Else a patient of a small site would outweigh the noise that the others add to the sum."""
    settings = (
        "privacy.placement=distributed", "privacy.noise_multiplier=3.0", "training.optimizer=sgd",
        "training.local_steps=1", "strategy.weighting=uniform", "participation.min_sites=4",
        "privacy.patients_per_step=16",
    )  # fmt: skip
    shared = study(*settings)
    assert divisor_for(shared, terms_for(shared, patients), patients) == 16.0
    alone = study("privacy.noise_multiplier=3.0", "privacy.patients_per_step=16")
    assert divisor_for(alone, terms_for(alone, patients), patients) == min(16, patients)


def test_sites_that_share_the_noise_find_the_same_whatever_they_hold() -> None:
    """A site that would find less adds less than the others rely on."""
    settings = (
        "privacy.placement=distributed", "privacy.epsilon=4.0", "privacy.delta=1e-3",
        "training.optimizer=sgd", "training.local_steps=1", "strategy.weighting=uniform",
    )  # fmt: skip
    shared = study(*settings, "participation.min_sites=4", "privacy.patients_per_step=16")
    found = {patients: terms_for(shared, patients) for patients in (8, 16, 40, 300)}
    assert {terms.noise_multiplier for terms in found.values()} == {found_noise(4.0, 1e-3, 1.0, 5)}
    spent = [epsilon([terms.charge_of(5)], 1e-3) for terms in found.values()]
    assert spent == sorted(spent, reverse=True) and 3.98 < spent[0] <= 4.0
    alone = study(*settings, "participation.min_sites=1", "privacy.patients_per_step=16")
    assert terms_for(alone, 300).noise_multiplier < found[300].noise_multiplier


def test_neither_epsilon_nor_noise_is_refused() -> None:
    with pytest.raises(StudyError, match=r"privacy\.epsilon"):
        terms_for(study("privacy.epsilon=0.0"), 16)


def test_a_site_without_patients_is_refused() -> None:
    with pytest.raises(InputError, match="0 training patients"):
        terms_for(study(), 0)


def test_asking_in_every_round_costs_nothing() -> None:
    plan = study("training.rounds=300")
    terms_for(plan, 40)
    begun = time.perf_counter()
    for _ in range(300):
        terms_for(plan, 40)
    assert time.perf_counter() - begun < 0.1
