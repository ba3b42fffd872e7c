import math

import pytest

from fedvox.client.training.schedule import learning_rate, rates, stretch_of_round
from fedvox.common.study.sections import TrainingSection


def test_cosine_rises_over_the_warmup_and_falls_to_zero() -> None:
    training = TrainingSection(lr=2.0, schedule="cosine", warmup=0.5)
    assert learning_rate(training, 0.25) == 1.0
    assert learning_rate(training, 0.5) == 2.0
    assert learning_rate(training, 0.75) == pytest.approx(1.0)
    assert learning_rate(training, 1.0) == pytest.approx(0.0)


def test_poly_and_constant() -> None:
    poly = TrainingSection(lr=1.0, schedule="poly", warmup=0.0)
    assert learning_rate(poly, 0.75) == pytest.approx(0.25**0.9)
    assert learning_rate(TrainingSection(lr=3.0, schedule="constant", warmup=0.0), 0.9) == 3.0


def test_the_rounds_cover_the_schedule_as_one_stretch_would() -> None:
    training = TrainingSection(rounds=4, local_steps=5, batch_size=3)
    rounds = [stretch_of_round(training, number) for number in (1, 2, 3, 4)]
    by_round = [rate for stretch in rounds for rate in rates(training, stretch)]
    whole = rates(training, rounds[0].__class__(20, 0.0, 1.0))
    assert by_round == pytest.approx(whole)
    assert all(rate > 0 and math.isfinite(rate) for rate in by_round)
    assert [stretch.first_example for stretch in rounds] == [0, 15, 30, 45]
