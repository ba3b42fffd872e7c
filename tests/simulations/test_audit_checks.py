"""The checks of noise and draws, on figures made up by known laws."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fedvox.simulations.audit.checks import Check
from fedvox.simulations.audit.draw_checks import check_draws
from fedvox.simulations.audit.noise_checks import check_noise
from fedvox.simulations.audit.watching import SeenStep

SIZES = (1000, 200, 1)
NOISE, CLIP = 1.5, 0.5
Floats = npt.NDArray[np.float64]


def found(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.found}


def seen(noise: Floats) -> SeenStep:
    parts = np.split(noise, np.cumsum(SIZES)[:-1])
    squares = np.array([float(part @ part) for part in parts])
    return SeenStep(np.zeros(0), frozenset(), CLIP, squares, float((noise**4).sum()), noise[:800])


def of_noise(draw: Callable[[np.random.Generator], Floats], seed: int, steps: int = 20) -> set[str]:
    rng = np.random.default_rng(seed)
    taken = [seen(draw(rng) * NOISE * CLIP) for _ in range(steps)]
    return found(check_noise(taken, np.full(steps, CLIP), SIZES, NOISE))


def normal(rng: np.random.Generator) -> Floats:
    return rng.normal(size=sum(SIZES))


def test_normal_noise_is_never_held_against_the_engine() -> None:
    for seed in range(60):
        assert of_noise(normal, seed, steps=1 + seed % 25) == set()


def test_noise_that_is_too_weak() -> None:
    assert "noise strength" in of_noise(lambda rng: 0.5 * normal(rng), 0)
    assert "noise strength" in of_noise(lambda rng: 0.95 * normal(rng), 0)
    assert "noise strength" in of_noise(lambda rng: 0.0 * normal(rng), 0)


def test_a_tensor_that_gets_none() -> None:
    def without(rng: np.random.Generator) -> Floats:
        noise = normal(rng)
        noise[-1] = 0.0
        return noise

    assert of_noise(without, 0) == {"noise in every tensor"}


def test_noise_that_is_not_normal() -> None:
    def uniform(rng: np.random.Generator) -> Floats:
        return rng.uniform(-(3**0.5), 3**0.5, sum(SIZES))

    assert of_noise(uniform, 0) == {"noise is normal"}


def test_noise_that_repeats_itself_in_a_step() -> None:
    def tiled(rng: np.random.Generator) -> Floats:
        return np.resize(rng.normal(size=20), sum(SIZES))

    assert "noise is independent within a step" in of_noise(tiled, 0)


def test_noise_that_comes_again() -> None:
    again = normal(np.random.default_rng(3))
    counter = iter(range(100))
    assert of_noise(lambda rng: again if next(counter) in (2, 17) else normal(rng), 0) == {
        "noise is new in each step"
    }


def poisson(
    rng: np.random.Generator, steps: int, patients: int, rate: float
) -> npt.NDArray[np.bool_]:
    return rng.random((steps, patients)) < rate


def test_poisson_draws_are_never_held_against_the_engine() -> None:
    cases = [
        (30, 500, 0.2),
        (1, 500, 0.1),
        (2, 60, 0.5),
        (20, 300, 0.02),
        (30, 20, 0.3),
        (5, 9, 1.0),
    ]
    for seed in range(40):
        for steps, patients, rate in cases:
            drawn = poisson(np.random.default_rng(seed), steps, patients, rate)
            assert found(check_draws(drawn, rate)) == set(), (seed, steps, patients, rate)


def draws_of(draw: Callable[[np.random.Generator, int], list[int]], steps: int = 20) -> set[str]:
    rng = np.random.default_rng(7)
    drawn = np.zeros((steps, 200), dtype=bool)
    for step in range(steps):
        drawn[step, draw(rng, step)] = True
    return found(check_draws(drawn, 0.2))


def test_draws_that_are_no_poisson_samples() -> None:
    fixed = draws_of(lambda rng, step: rng.choice(200, 40, replace=False).tolist())
    assert fixed == {"size of the draws"}
    same = draws_of(lambda rng, step: list(range(40)))
    assert {"size of the draws", "draws of each patient", "draws from step to step"} <= same
    everybody = draws_of(lambda rng, step: list(range(200)))
    assert "sampling rate" in everybody
    turns = draws_of(lambda rng, step: list(range(step % 5 * 40, step % 5 * 40 + 40)))
    assert {"draws of each patient", "draws from step to step"} <= turns


def test_groups_drawn_together_show_in_the_size_of_the_draws() -> None:
    def families(rng: np.random.Generator, step: int) -> list[int]:
        return np.flatnonzero(np.repeat(rng.random(20) < 0.2, 10)).tolist()

    assert "size of the draws" in draws_of(families)


def test_one_patient_too_few_where_all_are_due() -> None:
    drawn = np.ones((2, 10), dtype=bool)
    assert found(check_draws(drawn, 1.0)) == set()
    drawn[1, 3] = False
    assert found(check_draws(drawn, 1.0)) == {"sampling rate"}
