import numpy as np

from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.fedavgm import fedavgm
from fedvox.server.strategies.smoothed import SLOT, Smoothed, model_of
from fedvox.server.strategies.strategy import State, Update


def test_the_average_follows_the_weights_by_hand() -> None:
    strategy = Smoothed(fedavgm(StrategySection(server_momentum=0.0)), decay=0.5)
    state = strategy.start({"w": np.array([0.0], np.float32)})
    for change in (11.0, 12.0):
        update = Update("a", 1, {"update": {"w": np.array([change], np.float32)}})
        state = strategy.finish(state, strategy.fold(strategy.begin(state), update), 1)
    # After round 1: 1/11 * 0 + 10/11 * 11 = 10; after round 2: 2/12 * 10 + 10/12 * 23 = 20.83
    np.testing.assert_allclose(state.weights["w"], [23.0])
    np.testing.assert_allclose(state.slots[SLOT]["w"], [10 / 6 + 23 * 10 / 12], rtol=1e-6)
    np.testing.assert_allclose(model_of(state).weights["w"], state.slots[SLOT]["w"])
    assert set(state.slots) == {SLOT, "momentum"}


def test_without_an_average_the_model_is_the_last_one() -> None:
    state = State({"w": np.ones(2, np.float32)}, 3)
    assert model_of(state) is state
