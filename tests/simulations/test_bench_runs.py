"""What is made of a run's summary, by hand; an arm in a process of its own."""

from typing import Any

import pytest

from fedvox.common.errors import FedvoxError
from fedvox.common.privacy.terms import terms_for
from fedvox.common.study import load_study
from fedvox.common.tasks.networks import build_network
from fedvox.simulations.bench import adrenal, dp_quality, hippocampus
from fedvox.simulations.bench.measure import fresh_process


def summary() -> dict[str, Any]:
    def alone(dice: float) -> dict[str, Any]:
        return {"metrics": {"dice": dice}, "steps": 600, "samples": 2400}

    return {
        "union": {"dice": 0.84},
        "parameters": 1_200_000,
        "wall_s": 300.0,
        "train_s": 120.0,
        "baselines_s": 150.0,
        "seed": 0,
        "steps": {"federated": 2400},
        "baselines": {
            "pooled": {"metrics": {"dice": 0.8}, "steps": 2400},
            "local": {"a": alone(0.7), "b": alone(0.75), "c": {"problem": "no cases", "steps": 0}},
        },
    }


def test_hippocampus_holds_federated_against_pooled_and_the_best_site() -> None:
    outcome = hippocampus.outcome_of(summary())
    values = {one.what: one.value for one in outcome.headlines}
    assert values == pytest.approx(
        {
            "Dice": 0.84,
            "federated over best site alone": 0.84 / 0.75,
            "minutes": 5.0,
            "federated over pooled": 1.05,
        }
    )
    assert outcome.figures["best_alone"] == "b"
    assert [row[0] for row in outcome.rows] == ["federated", "pooled", "a alone", "b alone"]
    assert "1,200,000 parameters (within 1 to 2 M)" in outcome.notes[0]


def test_a_model_outside_the_allowed_size_is_pointed_out() -> None:
    assert "NOT within" in hippocampus.outcome_of({**summary(), "parameters": 900_000}).notes[0]


def test_adrenal_is_held_against_half() -> None:
    union = {"balanced_accuracy": 0.7, "auroc": 0.8, "accuracy": 0.75}
    outcome = adrenal.outcome_of({**summary(), "union": union})
    assert outcome.headlines[-1].value == pytest.approx(1.4)
    assert outcome.rows[0] == ("balanced accuracy", "0.700", "0.500")
    assert [row[0] for row in outcome.rows] == ["balanced accuracy", "auroc", "accuracy"]


def test_an_arm_that_fails_says_why() -> None:
    with pytest.raises(FedvoxError, match=r"(?s)nowhere ended with status 1.*KeyError"):
        fresh_process("nowhere", 60)


def test_what_privacy_costs_is_told_for_both_placements() -> None:
    def run(dice: float, **privacy: float) -> dict[str, Any]:
        return {"union": {"dice": dice}, "privacy": privacy, "parameters": 9597}

    found = {
        "without privacy": run(0.8),
        "local noise": run(0.6, epsilon=7.99),
        "distributed noise": run(0.78, epsilon=7.98),
    }
    outcome = dp_quality.outcome_of(found)
    assert [round(headline.value, 4) for headline in outcome.headlines] == [0.75, 0.975]
    assert [headline.reached for headline in outcome.headlines] == [False, True]
    assert outcome.rows[0] == ("without privacy", "0.8000", "1.000", "inf")
    assert outcome.rows[1] == ("local noise", "0.6000", "0.750", "7.99")


@pytest.mark.parametrize("arm", dp_quality.ARMS)
def test_private_arms_train_the_first_levels_with_the_same_noise_at_every_site(arm: str) -> None:
    classes = 'task.classes=["background", "Anterior", "Posterior"]'
    settings = [*dp_quality.MODEL, *dp_quality.ARMS[arm], "data.patch=[32, 48, 32]", classes]
    study = load_study(settings=settings)
    trained = {n: p for n, p in build_network(study).named_parameters() if p.requires_grad}
    numbers = sum(weight.numel() for weight in trained.values())
    assert study.training.rounds == 60
    if arm == "without privacy":
        assert numbers == 35_605 and study.privacy.mode == "none"
        return
    assert numbers == 7_634 and study.privacy.epsilon == 8.0
    layers = [name for name, weight in trained.items() if weight.ndim > 1]
    assert len(layers) == 4
    assert all(name.startswith(("model.0.", "model.1.submodule.0.")) for name in layers)
    terms = {patients: terms_for(study, patients) for patients in (10, 15, 35, 60)}
    assert {one.sample_rate for one in terms.values()} == {1.0}
    assert len({one.noise_multiplier for one in terms.values()}) == 1
