"""Nothing is folded that was not checked: one test for each code."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fedvox.common.messages import Reply
from fedvox.common.study.schema import Study
from fedvox.common.study.sections import StrategySection, TrainingSection
from fedvox.server.admit import Admission, Code, Rejected, admit, specs_of
from fedvox.server.strategies import strategy_for

WEIGHTS = {"conv": np.zeros((2, 3), np.float32), "norm": np.zeros(3, np.float32)}
UPDATE = {"conv": np.full((2, 3), 2.0, np.float32), "norm": np.ones(3, np.float32)}
EXPECTED = {"update": specs_of(WEIGHTS)}


def admission(name="fedavg", **settings):
    training = TrainingSection(optimizer="sgd" if name == "scaffold" else "adamw")
    strategy = strategy_for(Study(strategy=StrategySection(name=name), training=training))
    return Admission(3, "abc", strategy.start(WEIGHTS), strategy, 100.0, **settings)


def reply(**changes):
    whole = {"site": "ward", "round": 3, "weights_sha256": "abc", "examples": 5}
    return Reply(**{**whole, "arrays": {"update": UPDATE}, "figures": {"loss": 0.5}, **changes})


def rejects(code, work, *says):
    with pytest.raises(Rejected) as caught:
        work()
    assert caught.value.code is code
    for text in says:
        assert text in str(caught.value)


def test_a_good_answer_passes_with_its_norm() -> None:
    norms = admission().check("ward", reply())
    assert norms == {"update": pytest.approx((6 * 4 + 3) ** 0.5, rel=1e-15)}


@pytest.mark.parametrize(
    ("code", "changes", "says"),
    [
        (Code.SITE, {"site": "lab"}, "ward calls itself 'lab'"),
        (Code.ROUND, {"round": 2}, "for round 2, this is 3"),
        (Code.WEIGHTS, {"weights_sha256": "abd"}, "other weights"),
        (Code.STUDY, {"facts": {"study": "s2"}}, "another study"),
        (Code.EXAMPLES, {"examples": 0}, "counts 0 patients"),
        (Code.EXAMPLES, {"examples": 11}, "counts 11 patients; it has said 10"),
        (Code.FIGURES, {"figures": {"loss": float("nan")}}, "'loss' is nan"),
        (Code.GROUPS, {"arrays": {}}, "holds nothing, the strategy needs 'update'"),
        (Code.GROUPS, {"arrays": {"update": UPDATE, "x": {}}}, "holds 'update', 'x'"),
        (Code.NAMES, {"arrays": {"update": {"conv": UPDATE["conv"]}}}, "missing: 'norm'"),
        (Code.NAMES, {"arrays": {"update": {**UPDATE, "y" * 99: 0}}}, "not of this model: 'yyy"),
    ],
)
def test_what_the_answer_says(code, changes, says) -> None:
    gate = admission(asked={"ward"}, patients={"ward": 10}, study="s1")
    rejects(code, lambda: gate.check("ward", reply(**changes)), says)
    gate.check("ward", reply(facts={"study": "s1"}))


@pytest.mark.parametrize(
    ("code", "array", "says"),
    [
        (Code.SHAPE, np.zeros((3, 2), np.float32), "conv has shape (3, 2), not (2, 3)"),
        (Code.SHAPE, np.zeros(6, np.float32), "conv has shape (6,)"),
        (Code.DTYPE, np.zeros((2, 3), np.float64), "conv is float64, not float32"),
        (Code.DTYPE, np.zeros((2, 3), np.int32), "conv is int32"),
        (Code.NOT_FINITE, np.array([[0, 0, 0], [0, 0, np.nan]], np.float32), "conv holds NaN"),
        (Code.NOT_FINITE, np.array([[0, 0, -np.inf], [0, 0, 0]], np.float32), "conv holds NaN"),
        (Code.NORM, np.full((2, 3), 3e38, np.float32), "max_update_norm is 100"),
    ],
)
def test_what_the_tensors_hold(code, array, says) -> None:
    gate = admission()
    bad = reply(arrays={"update": {**UPDATE, "conv": array}})
    rejects(code, lambda: gate.check("ward", bad), says)
    gate.check("ward", reply())


def test_a_site_that_was_not_asked_or_answers_twice() -> None:
    gate = admission(asked={"ward"})
    stranger = reply(site="lab")
    rejects(Code.UNASKED, lambda: gate.check("lab", stranger), "lab was not asked in round 3")
    gate.check("ward", reply())
    gate.check("ward", reply())  # what was refused further on may be sent again
    gate.counted("ward", reply())
    rejects(Code.REPLAY, lambda: gate.check("ward", reply()), "ward has answered in round 3")


def test_every_code_of_a_training_answer_is_reached_here() -> None:
    tested = {
        mark.args[0]
        for test in (test_what_the_answer_says, test_what_the_tensors_hold)
        for mark in test.pytestmark[0].args[1:]
        for mark in [type("Row", (), {"args": row}) for row in mark]
    }
    elsewhere = {Code.UNASKED, Code.REPLAY, Code.CONTRACT, Code.RECEIPT}
    assert tested | elsewhere == set(Code)


def test_scaffold_needs_its_control_group_too() -> None:
    gate = admission("scaffold")
    rejects(Code.GROUPS, lambda: gate.check("ward", reply()), "needs 'control', 'update'")
    both = reply(arrays={"update": UPDATE, "control": UPDATE})
    assert gate.check("ward", both).keys() == {"update", "control"}
    large = {name: array * 99 for name, array in UPDATE.items()}
    bad = reply(site="lab", arrays={"update": UPDATE, "control": large})
    rejects(Code.NORM, lambda: gate.check("lab", bad), "control: has norm")


def test_fedbn_may_leave_names_out_but_all_sites_alike() -> None:
    gate = admission("fedbn")
    shared = {"update": {"conv": UPDATE["conv"]}}
    gate.counted("ward", reply(arrays=shared))
    rejects(Code.NAMES, lambda: gate.check("lab", reply(site="lab")), "'norm' otherwise")
    gate.check("lab", reply(site="lab", arrays=shared))
    nothing = reply(site="clinic", arrays={"update": {}})
    rejects(Code.NAMES, lambda: gate.check("clinic", nothing))


def test_the_largest_norm_itself_is_allowed() -> None:
    specs = {"update": {"w": ((2,), np.dtype(np.float64))}}
    arrays = {"update": {"w": np.array([3.0, 4.0])}}
    assert admit(arrays, specs, 5.0) == {"update": 5.0}
    rejects(Code.NORM, lambda: admit(arrays, specs, np.nextafter(5.0, 0)))


def test_large_float64_is_a_norm_and_not_a_nan() -> None:
    specs = {"update": {"w": ((1,), np.dtype(np.float64))}}
    rejects(Code.NORM, lambda: admit({"update": {"w": np.array([1e300])}}, specs, 1e4), "inf")


def test_optional_names_are_checked_where_they_are_sent() -> None:
    bad = {"update": {**UPDATE, "norm": np.ones(4, np.float32)}}
    rejects(Code.SHAPE, lambda: admit(bad, EXPECTED, 1e4, optional={"norm"}))
    admit({"update": {"conv": UPDATE["conv"]}}, EXPECTED, 1e4, optional={"norm"})


def test_one_bad_value_in_a_large_model_is_found_wherever_it_is() -> None:
    size = 3 * (1 << 13) + 5
    specs = {"update": {"w": ((size,), np.dtype(np.float32))}}
    for at in (0, (1 << 13) - 1, 1 << 13, size - 1):
        array = np.zeros(size, np.float32)
        array[at] = np.nan
        rejects(Code.NOT_FINITE, lambda a=array: admit({"update": {"w": a}}, specs, 1e4))


def test_five_million_parameters_are_checked_fast() -> None:
    array = np.ones(5_000_000, np.float32)
    specs = {"update": {"w": (array.shape, array.dtype)}}
    seconds = []
    for _ in range(3):
        begun = time.thread_time()
        admit({"update": {"w": array}}, specs, 1e4)
        seconds.append(time.thread_time() - begun)
    assert min(seconds) < 0.05
