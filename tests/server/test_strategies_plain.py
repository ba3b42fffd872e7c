"""Our own strategies against vectors computed by hand, over two rounds each."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from fedvox.common.errors import FedvoxError, NotFiniteError, StudyError
from fedvox.common.study.schema import Study
from fedvox.common.study.sections import StrategySection, TrainingSection
from fedvox.server.fold import FoldError
from fedvox.server.strategies import STRATEGIES, State, Update, strategy_for

START = [1.0, 2.0, 3.0]
FIRST = {"a": (1, [1.0, 0.0, -1.0]), "b": (3, [0.0, 2.0, 1.0])}  # mean .25, 1.5, .5
SECOND = {"a": (1, [2.0, -2.0, 0.0]), "b": (1, [0.0, 0.0, 4.0])}  # mean 1, -1, 2


def strategy(name, **settings):
    optimizer = TrainingSection(optimizer="sgd" if name == "scaffold" else "adamw")
    chosen = StrategySection(name=name, **settings)
    return strategy_for(Study(strategy=chosen, training=optimizer))


def vector(values, dtype=np.float32):
    return {"w": np.array(values, dtype)}


def close(chosen, state, answers, sites=2, controls=None):
    fold = chosen.begin(state)
    for site, (weight, change) in answers.items():
        arrays = {"update": vector(change)}
        if controls:
            arrays["control"] = vector(controls[site])
        fold = chosen.fold(fold, Update(site, weight, arrays))
    return chosen.finish(state, fold, sites)


def two_rounds(chosen):
    first = close(chosen, chosen.start(vector(START)), FIRST)
    return first, close(chosen, first, SECOND)


def check(state: State, number, weights, **slots):
    assert state.round == number
    assert state.weights["w"].dtype == np.float32
    np.testing.assert_allclose(state.weights["w"], weights, rtol=3e-7, atol=0)
    assert {slot.replace("-", "_") for slot in state.slots} == set(slots)
    for slot, values in slots.items():
        np.testing.assert_allclose(state.slots[slot.replace("_", "-")]["w"], values, rtol=3e-7)


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "ditto", "fedbn"])
def test_averaging(name) -> None:
    first, second = two_rounds(strategy(name))
    check(first, 1, [1.25, 3.5, 3.5])
    check(second, 2, [2.25, 2.5, 5.5])


def test_server_lr() -> None:
    first, second = two_rounds(strategy("fedavg", server_lr=0.5))
    check(first, 1, [1.125, 2.75, 3.25])
    check(second, 2, [1.625, 2.25, 4.25])


def test_fedavgm() -> None:
    first, second = two_rounds(strategy("fedavgm", server_momentum=0.5, server_lr=2.0))
    check(first, 1, [1.5, 5.0, 4.0], momentum=[0.25, 1.5, 0.5])
    # .125 + 1, .75 - 1, .25 + 2
    check(second, 2, [3.75, 4.5, 8.5], momentum=[1.125, -0.25, 2.25])


def test_fedadagrad() -> None:
    first, second = two_rounds(strategy("fedadagrad", server_lr=1.0, beta1=0.5, tau=0.5))
    # m = d / 2; v = 1/4 + d^2 = .3125, 2.5, .5
    m, v = np.array([0.125, 0.75, 0.25]), np.array([0.3125, 2.5, 0.5])
    w = START + m / (np.sqrt(v) + 0.5)
    np.testing.assert_allclose(w, [1.1180339887, 2.3603796100, 3.2071067812], rtol=1e-9)
    check(first, 1, w, first_moment=m, second_moment=v)
    m, v = np.array([0.5625, -0.125, 1.125]), np.array([1.3125, 3.5, 4.5])
    check(second, 2, w + m / (np.sqrt(v) + 0.5), first_moment=m, second_moment=v)


def test_fedadam() -> None:
    first, second = two_rounds(strategy("fedadam", server_lr=0.1, beta1=0.5, beta2=0.75, tau=0.5))
    # v = 3/4 * 1/4 + 1/4 * d^2, with d^2 = 1/16, 9/4, 1/4
    m, v = np.array([0.125, 0.75, 0.25]), np.array([0.203125, 0.75, 0.25])
    w = START + 0.1 * m / (np.sqrt(v) + 0.5)
    np.testing.assert_allclose(w[2], 3.025, rtol=1e-12)
    check(first, 1, w, first_moment=m, second_moment=v)
    m, v = np.array([0.5625, -0.125, 1.125]), np.array([0.40234375, 0.8125, 1.1875])
    check(second, 2, w + 0.1 * m / (np.sqrt(v) + 0.5), first_moment=m, second_moment=v)


def test_fedyogi() -> None:
    first, second = two_rounds(strategy("fedyogi", server_lr=0.1, beta1=0.5, beta2=0.75, tau=0.5))
    # v = 1/4, less a quarter of d^2 where v is above d^2, more where below, the same where equal.
    m, v = np.array([0.125, 0.75, 0.25]), np.array([0.234375, 0.8125, 0.25])
    w = START + 0.1 * m / (np.sqrt(v) + 0.5)
    check(first, 1, w, first_moment=m, second_moment=v)
    m, v = np.array([0.5625, -0.125, 1.125]), np.array([0.484375, 1.0625, 1.25])
    check(second, 2, w + 0.1 * m / (np.sqrt(v) + 0.5), first_moment=m, second_moment=v)


def test_scaffold() -> None:
    chosen = strategy("scaffold")
    state = chosen.start(vector(START))
    np.testing.assert_array_equal(chosen.sends(state)["control"]["w"], [0, 0, 0])
    controls = {"a": [4.0, 0.0, -8.0], "b": [0.0, 2.0, 4.0]}
    first = close(chosen, state, FIRST, sites=4, controls=controls)
    # The controls are not weighted by patients, and divided by all four sites of the study.
    check(first, 1, [1.25, 3.5, 3.5], control=[1.0, 0.5, -1.0])
    second = close(chosen, first, {"b": (5, [1.0, 1.0, 1.0])}, sites=4, controls={"b": [2, 2, 2]})
    check(second, 2, [2.25, 4.5, 4.5], control=[1.5, 1.0, -0.5])
    assert chosen.sends(second)["control"] is second.slots["control"]


def test_scaffold_needs_both_groups_and_survives_a_bad_update() -> None:
    chosen = strategy("scaffold")
    state = chosen.start(vector(START))
    good = Update("a", 1, {"update": vector([1, 1, 1]), "control": vector([2, 2, 2])})
    fold = chosen.fold(chosen.begin(state), good)
    for arrays in (
        {"update": vector([1, 1, 1])},
        {"control": vector([1, 1, 1])},
        {"update": vector([1, 1]), "control": vector([1, 1, 1])},
        {"update": vector([1, 1, 1]), "control": {}},
    ):
        with pytest.raises(FedvoxError):
            chosen.fold(fold, Update("b", 1, arrays))
    check(chosen.finish(state, fold, 1), 1, [2, 3, 4], control=[2, 2, 2])
    again = chosen.fold(chosen.begin(state), good)
    with pytest.raises(FedvoxError, match="1 sites answered in a study of 0"):
        chosen.finish(state, again, 0)


def test_fedbn_averages_what_is_sent_and_keeps_the_rest() -> None:
    chosen = strategy("fedbn")
    weights = {"conv": np.float32([1, 2, 3]), "norm": np.float32([7, 8, 9])}
    state = chosen.start(weights)
    fold = chosen.begin(state)
    for site, weight, change in (("a", 1, [4, 0, 0]), ("b", 3, [0, 4, 8])):
        fold = chosen.fold(fold, Update(site, weight, {"update": {"conv": np.float32(change)}}))
    after = chosen.finish(state, fold, 2)
    np.testing.assert_array_equal(after.weights["conv"], [2, 5, 9])
    np.testing.assert_array_equal(after.weights["norm"], [7, 8, 9])
    with pytest.raises(FoldError, match="b: group 'update': tensors that the other sites left out"):
        fold = chosen.fold(
            chosen.begin(state), Update("a", 1, {"update": {"conv": weights["conv"]}})
        )
        chosen.fold(fold, Update("b", 1, {"update": weights}))
    with pytest.raises(FoldError, match="missing: 'norm'"):
        full = strategy("fedavg")
        full.fold(full.begin(state), Update("a", 1, {"update": {"conv": weights["conv"]}}))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_order_does_not_matter_and_nothing_given_is_changed(name) -> None:
    rng = np.random.default_rng(5)
    chosen = strategy(name, server_lr=0.3)
    answers = {
        site: (int(rng.integers(1, 40)), (10 ** rng.uniform(-6, 1, 3)).tolist()) for site in "abcd"
    }
    controls = {site: rng.standard_normal(3).tolist() for site in answers}
    weights = vector(START)
    bits = set()
    for order in permutations(answers):
        state = chosen.start(weights)
        for _ in range(2):
            ordered = {site: answers[site] for site in order}
            state = close(chosen, state, ordered, 6, controls)
        arrays = [state.weights, *(state.slots[slot] for slot in sorted(state.slots))]
        bits.add(b"".join(group["w"].tobytes() for group in arrays))
    assert len(bits) == 1
    assert weights["w"].tolist() == START
    assert chosen.expects(chosen.start(weights))["update"]["w"].shape == (3,)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_keep_their_type(dtype) -> None:
    chosen = strategy("fedadam")
    state = close(chosen, chosen.start(vector(START, dtype)), FIRST)
    assert state.weights["w"].dtype == dtype
    assert state.slots["first-moment"]["w"].dtype == np.float32


def test_a_missing_group_names_site_and_group() -> None:
    chosen = strategy("fedavg")
    state = chosen.start(vector(START))
    with pytest.raises(FedvoxError, match="ward: the update lacks the group 'update'"):
        chosen.fold(chosen.begin(state), Update("ward", 1, {"weights": vector(START)}))


def test_what_cannot_be_a_model_is_refused() -> None:
    chosen = strategy("fedavg")
    with pytest.raises(FedvoxError, match="steps: is int64; only tensors of floats"):
        chosen.start({"steps": np.zeros(3, np.int64)})
    with pytest.raises(NotFiniteError, match="w holds NaN"):
        chosen.start(vector([1, np.nan, 2]))
    with pytest.raises(FoldError, match="nothing to average"):
        state = chosen.start(vector(START))
        chosen.finish(state, chosen.begin(state), 2)


def test_a_step_out_of_range_is_refused() -> None:
    chosen = strategy("fedavg", server_lr=1e38)
    state = chosen.start(vector([3e38, 0, 0]))
    with (
        pytest.raises(NotFiniteError, match="the weights after round 1"),
        np.errstate(all="ignore"),
    ):
        close(chosen, state, {"a": (1, [100.0, 0, 0])})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fedadm", "did you mean 'fedadam'"),
        ("FedAvg", "did you mean 'fedavg'"),
        ("krum", "did you mean 'flower:Krum'"),
        ("trimmed-mean", "did you mean 'flower:FedTrimmedAvg'"),
        ("median", "did you mean 'flower:FedMedian'"),
        ("zzz", "valid: ditto, fedadagrad.*flower:CLASS"),
    ],
)
def test_unknown_names(name, hint) -> None:
    with pytest.raises(StudyError, match=f"strategy.name: no strategy '{name}'.*{hint}"):
        strategy(name)


def test_options_are_for_flower_only() -> None:
    with pytest.raises(StudyError, match=r"strategy\.options: only for strategies named flower:"):
        strategy("fedavg", options={"beta": 0.1})
