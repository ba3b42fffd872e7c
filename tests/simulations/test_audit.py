"""The audit of the real engine, whole and with bugs planted in it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small import ball, tiny
from torch import Tensor

from fedvox.client.local import LocalWork
from fedvox.client.store import Store
from fedvox.client.training.learner import Trained
from fedvox.client.training.private import clipping, layered, steps
from fedvox.client.training.private.measured import Measured
from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.sampling import poisson_draw
from fedvox.common.errors import InputError
from fedvox.common.study import Study, contract_hash
from fedvox.common.tasks.task import task_for
from fedvox.simulations.audit.attack import Target
from fedvox.simulations.audit.audit import Audit, Wish, audit_site
from fedvox.simulations.audit.canaries import hatch

PATIENTS = 12
PRIVATE = (
    "privacy.mode=patient", "privacy.epsilon=4", "privacy.patients_per_step=3",
    "training.local_steps=12", "training.rounds=20", "training.batch_size=16",
)  # fmt: skip
WISH = Wish(Path("a-run"), canaries=300, steps=24, iterations=0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def target(home: Path, *settings: str) -> Target:
    study = tiny(*PRIVATE, *settings)
    store = Store(home / "cache", contract_hash(study))
    task = task_for(study)
    for number in range(PATIENTS + 1):
        store.put(f"c{number}", task.prepare(ball(number)))
    # The first patient has two scans.
    people = (("c0", f"c{PATIENTS}"), *((f"c{number}",) for number in range(1, PATIENTS)))
    return Target(study, "north", people, store)


def found(audit: Audit) -> set[str]:
    assert audit.as_record()["verdict"] == ("violation" if audit.found else "nothing found")
    return {check.name for check in audit.found}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The site's own check sees nothing, so that the audit has to."""
    monkeypatch.setattr(Measured, "require", lambda *_: None)
    return monkeypatch


SLOW = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in range(1, 12))])
def test_nothing_is_found_on_the_engine_as_it_is(tmp_path: Path, seed: int) -> None:
    audit = audit_site(target(tmp_path), replace(WISH, seed=seed))
    assert found(audit) == set()
    assert len(audit.attacked.steps) == 24 and audit.attacked.rounds == 2
    assert audit.membership.guessed.epsilon < audit.membership.epsilon_charged
    names = {check.name for check in audit.checks}
    assert {"size of the draws", "draws from step to step", "what leaves the site"} <= names


@SLOW
@pytest.mark.parametrize(
    "settings",
    [
        ("privacy.adaptive_clip=true",),
        ("privacy.placement=distributed", "privacy.honest_sites=2", "privacy.delta=1e-2", "training.local_steps=1", "training.rounds=16", "training.optimizer=sgd", "strategy.weighting=uniform"),
        ("privacy.augmentation_multiplicity=2", "training.optimizer=sgd"),
        ("strategy.name=scaffold", "training.optimizer=sgd"),
        ("privacy.patients_per_step=12",),
    ],
    ids=["adaptive", "distributed", "views", "scaffold", "everybody"],
)  # fmt: skip
def test_nothing_is_found_with_other_settings(tmp_path: Path, settings: tuple[str, ...]) -> None:
    assert found(audit_site(target(tmp_path, *settings), WISH)) == set()


def test_what_the_attacker_sees_is_the_canaries_at_the_charged_rate_in_the_charged_noise(
    tmp_path: Path,
) -> None:
    attacked = audit_site(target(tmp_path), WISH).attacked
    seen, noise = attacked.shown(0)
    took_part, rate = attacked.canaries.took_part, attacked.terms.sample_rate
    deviation = noise[0] / seen[:, took_part].size ** 0.5
    assert abs(seen[:, took_part].mean() - rate) < 5 * deviation
    assert abs(seen[:, ~took_part].mean()) < 5 * deviation < rate
    assert seen[:, ~took_part].std() == pytest.approx(noise[0], rel=0.05)


@SLOW
def test_the_same_seed_gives_the_same_audit(tmp_path: Path) -> None:
    one, two = (audit_site(target(tmp_path), WISH).as_record() for _ in range(2))
    assert one == two
    assert audit_site(target(tmp_path), replace(WISH, seed=1)).as_record() != one


def test_canaries_take_part_by_a_fair_coin_and_share_no_number() -> None:
    canaries = hatch(1000, 4588, 2.0, np.random.default_rng(0))
    assert len(set(canaries.coordinates.tolist())) == 1000 and canaries.norm == 20.0
    assert abs(int(canaries.took_part.sum()) - 500) < 80
    assert len(canaries.people) == canaries.took_part.sum()
    with pytest.raises(InputError, match="1147"):
        hatch(1148, 4588, 2.0, np.random.default_rng(0))


def unclipped(norms: Tensor, clip_norm: float) -> Tensor:
    return torch.ones_like(norms)


def test_clipping_left_out(tmp_path: Path, unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(clipping, "factors_of", unclipped)
    audit = audit_site(target(tmp_path), WISH)
    assert {"membership", "one patient in a sum"} <= found(audit)
    assert audit.membership.guessed.right > 0.95 * audit.membership.guessed.guesses


def test_clipping_left_out_by_the_engine_of_patients_alone(
    tmp_path: Path, unchecked: pytest.MonkeyPatch
) -> None:
    def careless(shares: Any, clip_norm: float, *others: Any) -> Any:
        return clipping.clip_and_add(shares, 1e9, *others)

    unchecked.setattr(layered, "clip_and_add", careless)
    assert found(audit_site(target(tmp_path), WISH)) == {"one patient in a sum"}


def test_clipping_to_a_larger_norm_than_is_charged(
    tmp_path: Path, unchecked: pytest.MonkeyPatch
) -> None:
    made = steps.private_steps

    def wide(*given: Any) -> steps.PrivateSteps:
        own = made(*given)
        engine = own.engine

        class Wide:
            def clipped_sum(self, *args: Any) -> clipping.ClippedSum:
                return engine.clipped_sum(*args[:-1], 8 * args[-1])

        own.engine = Wide()
        return own

    unchecked.setattr("fedvox.client.private_round.private_steps", wide)
    assert {"membership", "clipping norm"} <= found(audit_site(target(tmp_path), WISH))


def weaker(self: Noise, count: int) -> npt.NDArray[np.float64]:
    return 0.5 * strong(self, count)


strong = Noise.gaussian


def test_noise_halved(tmp_path: Path, unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(Noise, "gaussian", weaker)
    audit = audit_site(target(tmp_path), WISH)
    assert (
        {"noise strength"}
        <= found(audit)
        <= {"noise strength", "noise in every tensor", "membership"}
    )
    strength = next(check for check in audit.checks if check.name == "noise strength")
    assert float(strength.seen) == pytest.approx(audit.attacked.gradient_noise / 2, rel=0.02)


@SLOW
def test_noise_left_out(tmp_path: Path, unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(
        Noise, "gaussian", lambda self, count: torch.zeros(count, dtype=torch.float64)
    )
    assert {"noise strength", "noise in every tensor"} <= found(audit_site(target(tmp_path), WISH))


def test_a_site_that_notices_itself_is_still_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noise, "gaussian", weaker)
    audit = audit_site(target(tmp_path), WISH)
    assert {"noise strength", "the site's own check"} <= found(audit)
    assert len(audit.attacked.steps) == 12, "the second round is not asked for"


def test_the_same_noise_in_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @lru_cache
    def once(count: int) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(1).normal(size=count))

    monkeypatch.setattr(Noise, "gaussian", lambda self, count: once(count).clone())
    assert "noise is new in each step" in found(audit_site(target(tmp_path), WISH))


def planted(patch: pytest.MonkeyPatch, draw: Any) -> None:
    counter = iter(range(10**6))

    def drawn(patients: int, sample_rate: float, noise: Noise) -> list[int]:
        order = np.argsort(noise.uniform(patients))
        wanted: list[int] = draw(order, round(sample_rate * patients), next(counter))
        return sorted(wanted)

    patch.setattr(steps, "poisson_draw", drawn)


def test_a_batch_of_fixed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda order, size, step: order[:size].tolist())
    assert found(audit_site(target(tmp_path), WISH)) == {"size of the draws"}


def test_always_the_same_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda order, size, step: list(range(size)))
    assert {"draws of each patient", "draws from step to step"} <= found(
        audit_site(target(tmp_path), WISH)
    )


@SLOW
def test_patients_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def turn(order: npt.NDArray[np.int64], size: int, step: int) -> list[int]:
        return ((np.arange(size) + step * size) % len(order)).tolist()

    planted(monkeypatch, turn)
    assert {"draws of each patient", "draws from step to step"} <= found(
        audit_site(target(tmp_path), WISH)
    )


def test_everybody_where_few_are_charged(tmp_path: Path, unchecked: pytest.MonkeyPatch) -> None:
    planted(unchecked, lambda order, size, step: order.tolist())
    audit = audit_site(target(tmp_path), WISH)
    assert "sampling rate" in found(audit)
    # What is guessed right depends on the noise; honest draws leave less than half of this.
    assert audit.membership.guessed.epsilon > 0.9, "of 1.9 that were charged"


@SLOW
def test_twice_the_rate(tmp_path: Path, unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(
        steps, "poisson_draw", lambda n, rate, noise: poisson_draw(n, 2 * rate, noise)
    )
    assert "sampling rate" in found(audit_site(target(tmp_path), WISH))


def test_an_update_that_holds_more_than_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = LocalWork._federated

    def telling(self: LocalWork, private: Any) -> Trained:
        done = trained(self, private)
        return replace(
            done, update={n: np.add(u, np.float32(1e-4)) for n, u in done.update.items()}
        )

    monkeypatch.setattr(LocalWork, "_federated", telling)
    assert found(audit_site(target(tmp_path), WISH)) == {"what leaves the site"}


def test_an_image_is_found_without_noise_and_not_with_it(tmp_path: Path) -> None:
    audit = audit_site(target(tmp_path), replace(WISH, canaries=20, steps=1, iterations=150))
    inversion = audit.inversion
    assert inversion is not None and found(audit) == set()
    assert inversion.found_bare and not inversion.found
    assert inversion.bare.correlation > 0.4 > inversion.noisy.correlation
    assert inversion.bare.psnr_db > inversion.noisy.psnr_db


@SLOW
def test_an_image_in_an_update_that_lost_its_noise(
    tmp_path: Path, unchecked: pytest.MonkeyPatch
) -> None:
    unchecked.setattr(
        Noise, "gaussian", lambda self, count: torch.zeros(count, dtype=torch.float64)
    )
    audit = audit_site(target(tmp_path), replace(WISH, canaries=20, steps=1, iterations=150))
    assert "image from one update" in found(audit)


def test_the_study_keeps_its_terms(tmp_path: Path) -> None:
    """Canaries change neither the noise, the clipping nor, but for rounding, the rate."""
    own = target(tmp_path)
    terms = audit_site(own, replace(WISH, steps=1)).attacked.terms
    assert isinstance(own.study, Study)
    assert terms.noise_multiplier == own.terms.noise_multiplier
    assert terms.clip_norm == own.terms.clip_norm and terms.delta == own.terms.delta
    assert terms.sample_rate == pytest.approx(own.terms.sample_rate, abs=0.01)
