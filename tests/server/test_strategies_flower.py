"""Flower's aggregations through the adapter: by hand, in any order, resumed in the middle."""

from __future__ import annotations

import gc
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from fedvox.common.errors import FedvoxError, QuorumError, StudyError
from fedvox.common.study.schema import Study
from fedvox.common.study.sections import StrategySection
from fedvox.server.checkpoint import Checkpoints
from fedvox.server.fold import FoldError
from fedvox.server.strategies import Update, strategy_for
from fedvox.server.strategies.flower import aggregations

START = [1.0, 2.0, 3.0]
OPTIONS = {
    "QFedAvg": {"client_learning_rate": 0.5},
    "FedAvgM": {"server_momentum": 0.5, "server_learning_rate": 0.8},
    "FedTrimmedAvg": {"beta": 0.25},
}
REFUSED = (
    "FedXgbBagging",
    "FedXgbCyclic",
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
)


@pytest.fixture(autouse=True)
def _quick_collections():
    """Flower collects garbage after every message, which is slow where much is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def flower(name, **options):
    return strategy_for(Study(strategy=StrategySection(name=f"flower:{name}", options=options)))


def close(chosen, state, answers):
    fold = chosen.begin(state)
    for site, (weight, change) in answers.items():
        arrays = {"update": {"w": np.float32(change)}}
        fold = chosen.fold(fold, Update(site, weight, arrays, {"loss": 0.25 * weight}))
    return chosen.finish(state, fold, len(answers))


def started(chosen):
    return chosen.start({"w": np.float32(START)})


def after(name, answers, **options):
    chosen = flower(name, **options)
    state = close(chosen, started(chosen), answers)
    assert state.round == 1
    assert state.weights["w"].dtype == np.float32
    return state.weights["w"].tolist()


def test_the_adapter_knows_all_that_flower_ships() -> None:
    assert sorted(aggregations()) == [
        "Bulyan",
        "FedAdagrad",
        "FedAdam",
        "FedAvg",
        "FedAvgM",
        "FedMedian",
        "FedProx",
        "FedTrimmedAvg",
        "FedYogi",
        "Krum",
        "MultiKrum",
        "QFedAvg",
    ]


@pytest.mark.parametrize("name", ["FedAvg", "FedProx"])
def test_fedavg(name) -> None:
    answers = {"a": (1, [1.0, 0.0, -1.0]), "b": (3, [0.0, 2.0, 1.0])}
    assert after(name, answers) == [1.25, 3.5, 3.5]


def test_fedmedian() -> None:
    answers = {"a": (1, [0, 5, -1]), "b": (9, [1, 9, 2]), "c": (1, [90, 7, 0])}
    assert after("FedMedian", answers) == [2, 9, 3]


def test_fedtrimmedavg() -> None:
    # A quarter is cut at each end: the two in the middle are averaged, whatever their patients.
    answers = {
        "a": (1, [0, 9, 1]),
        "b": (9, [1, -9, 2]),
        "c": (1, [3, 1, 99]),
        "d": (1, [99, 2, 3]),
    }
    assert after("FedTrimmedAvg", answers, beta=0.25) == [3, 3.5, 5.5]


LINE = {"a": (1, [0, 0, 0]), "b": (1, [1, 0, 0]), "c": (4, [1.5, 0, 0]), "d": (1, [50, 50, 50])}


def test_krum() -> None:
    # Four sites, none malicious: the two nearest count. Squared distances on the line 0, 1, 1.5:
    # a 1 + 2.25, b .25 + 1, c .25 + 2.25; b wins, and d is far off.
    assert after("Krum", LINE) == [2, 2, 3]


def test_multikrum() -> None:
    # b and c win, weighted 1 to 4.
    assert after("MultiKrum", LINE, num_nodes_to_select=2) == pytest.approx([2.4, 2, 3])


@pytest.mark.parametrize("start", [60.0, 77.5, 100.0, 120.25])
def test_krum_sees_small_updates_of_large_weights(start) -> None:
    chosen = flower("Krum")
    state = chosen.start({"w": np.full(3, start, np.float32)})
    tiny = {site: (n, np.float32(change) * 2.0**-14) for site, (n, change) in LINE.items()}
    result = close(chosen, state, tiny).weights["w"]
    np.testing.assert_array_equal(result, np.float32([start + 2.0**-14, start, start]))


def test_bulyan() -> None:
    # One malicious of seven: five are selected by MultiKrum, then the three nearest the median of
    # each coordinate are averaged. The far site cannot be among the five.
    values = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 4.0, "f": 5.0, "g": 1000.0}
    answers = {site: (1, [value, 2 * value, 0]) for site, value in values.items()}
    # MultiKrum sums the 7 - 1 - 2 = 4 nearest squares: a 30, b 15, c 10, d 10, e 15, f 30 times 5.
    # Selected: b, c, d, e and a, which stands before f. Median of 0 to 4 is 2; 1, 2, 3 are nearest.
    assert after("Bulyan", answers, num_malicious_nodes=1) == [3, 6, 3]


def test_fedadam_over_two_rounds() -> None:
    chosen = flower("FedAdam", eta=0.1, beta_1=0.5, beta_2=0.75, tau=0.5)
    answers = {"a": (1, [1.0, 0.0, -1.0]), "b": (3, [0.0, 2.0, 1.0])}
    state = close(chosen, started(chosen), answers)
    d = np.array([0.25, 1.5, 0.5])
    m, v = d / 2, d**2 / 4
    # Flower's correction of the bias in its round 1: sqrt(1 - .75^2) / (1 - .5^2)
    w = START + 0.1 * np.sqrt(0.4375) / 0.75 * m / (np.sqrt(v) + 0.5)
    np.testing.assert_allclose(state.weights["w"], w, rtol=2e-7)
    np.testing.assert_allclose(state.slots["m_t"]["w"], m, rtol=1e-12)
    np.testing.assert_allclose(state.slots["v_t"]["w"], v, rtol=1e-12)
    state = close(chosen, state, answers)
    m, v = m / 2 + d / 2, v * 0.75 + d**2 / 4
    w = w + 0.1 * np.sqrt(1 - 0.75**3) / (1 - 0.5**3) * m / (np.sqrt(v) + 0.5)
    np.testing.assert_allclose(state.weights["w"], w, rtol=4e-7)


def test_fedavgm_over_two_rounds() -> None:
    chosen = flower("FedAvgM", server_momentum=0.5, server_learning_rate=2.0)
    state = close(chosen, started(chosen), {"a": (1, [1.0, 0.0, -1.0])})
    assert state.weights["w"].tolist() == [3, 2, 1]
    state = close(chosen, state, {"a": (1, [0.0, 1.0, 0.0])})
    # momentum is the negative: -(.5 + 0), -(0 + 1), -(-.5 + 0)
    assert state.weights["w"].tolist() == [4, 4, 0]
    assert state.slots["momentum_vector"]["w"].tolist() == [-0.5, -1, 0.5]


def test_qfedavg_weighs_by_the_loss() -> None:
    chosen = flower("QFedAvg", q=1.0, client_learning_rate=0.5)
    answers = {"a": (4, [1.0, 0.0, 0.0]), "b": (8, [0.0, 1.0, 0.0])}
    state = close(chosen, started(chosen), answers)
    # L = 2; gradients -2 e_i with |.|^2 = 4; losses 1 and 2; h = 4 + 2 * loss, 14 in all
    np.testing.assert_allclose(state.weights["w"], [1 + 2 / 14, 2 + 4 / 14, 3], rtol=2e-7)
    fold = chosen.fold(chosen.begin(state), Update("a", 1, {"update": {"w": np.float32(START)}}))
    with pytest.raises(FedvoxError, match="a: sent no training loss"):
        chosen.finish(state, fold, 1)


def many(rng, sites="abcdefg"):
    return {site: (int(rng.integers(1, 30)), rng.standard_normal(3) * 0.1) for site in sites}


@pytest.mark.parametrize("name", sorted(aggregations()))
def test_order_does_not_matter(name) -> None:
    rng = np.random.default_rng(4)
    chosen, answers = flower(name, **OPTIONS.get(name, {})), many(rng)
    orders = [*permutations(answers)][::1000]
    states = [
        close(chosen, started(chosen), {site: answers[site] for site in order}) for order in orders
    ]
    groups = [(state.weights, *state.slots.values()) for state in states]
    assert len({tuple(group["w"].tobytes() for group in every) for every in groups}) == 1


@pytest.mark.parametrize("name", sorted(aggregations()))
def test_a_resumed_run_goes_on_to_the_bit(name, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    chosen = flower(name, **OPTIONS.get(name, {}))
    rounds = [many(rng) for _ in range(4)]
    weights = {"z": np.float32(START), "a.b": np.float32([[4, 5]]), "m": np.float32([6])}

    def run(strategy, state, rounds):
        for answers in rounds:
            fold = strategy.begin(state)
            for site, (weight, x) in answers.items():
                change = {"z": x, "a.b": x[None, :2], "m": x[2:]}
                arrays = {
                    "update": {key: value.astype(np.float32) for key, value in change.items()}
                }
                fold = strategy.fold(fold, Update(site, weight, arrays, {"loss": 0.5}))
            state = strategy.finish(state, fold, len(answers))
        return state

    whole = run(chosen, chosen.start(weights), rounds)
    half = run(chosen, chosen.start(weights), rounds[:2])
    Checkpoints(tmp_path).save(half, "study", "contract")
    again = Checkpoints(tmp_path).latest("study", "contract").state
    # A file does not keep the order of the names.
    again = replace(
        again,
        weights=dict(sorted(again.weights.items(), reverse=True)),
        slots={
            slot: dict(sorted(held.items(), reverse=True)) for slot, held in again.slots.items()
        },
    )
    fresh = flower(name, **OPTIONS.get(name, {}))
    resumed = run(fresh, again, rounds[2:])
    assert resumed.slots.keys() == whole.slots.keys()
    for left, right in (
        (whole.weights, resumed.weights),
        *zip(whole.slots.values(), resumed.slots.values(), strict=True),
    ):
        assert {k: v.tobytes() for k, v in left.items()} == {
            k: v.tobytes() for k, v in right.items()
        }
    assert bool(whole.slots) == (name in {"FedAdam", "FedYogi", "FedAdagrad", "FedAvgM"})


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name) -> None:
    with pytest.raises(StudyError, match=rf"flower:{name} cannot be used here: it"):
        flower(name)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("FedMedien", {}, r"Flower has no 'FedMedien'; did you mean 'FedMedian'"),
        ("Strategy", {}, r"Flower has no 'Strategy'"),
        ("FedTrimmedAvg", {"betta": 0.1}, r"no option 'betta'; did you mean 'beta'"),
        ("FedTrimmedAvg", {"beta": 0.5}, r"`beta` must be in the range"),
        ("FedTrimmedAvg", {"beta": -0.1}, r"beta must be a number, 0 or more, not -0.1"),
        ("FedTrimmedAvg", {"beta": "a"}, r"beta must be a number, 0 or more, not 'a'"),
        ("Krum", {"num_malicious_nodes": 1.5}, r"must be a whole number, 0 or more, not 1.5"),
        ("Krum", {"num_malicious_nodes": True}, r"must be a whole number"),
        ("Krum", {"selection_rule": "x"}, r"no option 'selection_rule'; valid: num_malicious"),
        ("Krum", {"fraction_train": 0.5}, r"no option 'fraction_train'"),
        ("FedMedian", {"beta": 0.5}, r"no option 'beta'; it has no options"),
        ("FedProx", {"proximal_mu": 0.5}, r"not given proximal_mu: .*strategy.mu"),
        ("FedAdam", {"eta_l": 0.5}, r"not given eta_l: .*training.lr"),
        ("QFedAvg", {}, r"needs the option client_learning_rate"),
        ("FedAdam", {"beta_2": 1.0}, r"beta_2 must be below 1, not 1.0"),
        ("QFedAvg", {"client_learning_rate": 0}, r"client_learning_rate must be above 0"),
    ],
)
def test_wrong_options(name, options, says) -> None:
    with pytest.raises(StudyError, match=says):
        flower(name, **options)


def test_too_few_updates_is_an_error_not_a_model() -> None:
    with pytest.raises(QuorumError, match=r"Bulyan made no model of 2 updates.*4 x num_malicious"):
        after("Bulyan", {"a": (1, START), "b": (1, START)})
    with pytest.raises(QuorumError, match="made no model of 0 updates"):
        after("FedAvg", {})


def test_an_update_that_does_not_fit_is_refused_when_it_comes() -> None:
    chosen = flower("FedMedian")
    state = started(chosen)
    for arrays in ({"w": np.float32([1, 2])}, {"v": np.float32(START)}, {}):
        with pytest.raises(FoldError):
            chosen.fold(chosen.begin(state), Update("a", 1, {"update": arrays}))
