"""The steps as they run, on the real network: what is clipped, what is added, what is noticed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import ball, tiny
from torch import Tensor

from fedvox.client.local import LocalWork
from fedvox.client.store import Store
from fedvox.client.training.batches import Batches
from fedvox.client.training.learner import Learner
from fedvox.client.training.private.clipping import ClippedSum, GradientEngine
from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.steps import PrivateSteps, private_steps
from fedvox.client.training.schedule import stretch_of_round
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import Terms, patients_per_step
from fedvox.common.study import Study
from fedvox.common.tasks.task import initial_weights

PEOPLE = (("c0",), ("c1",), ("c2",), ("c3",), ("c4",))
TERMS = Terms(
    sample_rate=0.5, noise_multiplier=0.5, steps_per_round=3, rounds=2, clip_norm=0.1, delta=0.01
)
KEY = bytes(range(32))


def private(*settings: str) -> Study:
    return tiny("privacy.mode=patient", *settings)


def steps_for(
    study: Study,
    store: Store,
    terms: Terms = TERMS,
    people: Sequence[Sequence[str]] = PEOPLE,
    noise: Noise | None = None,
) -> PrivateSteps:
    learner = Learner(study)
    weights = initial_weights(study)
    learner.load(weights)
    learner.model.train()
    batches = Batches(learner.task, store, ("c0",), 1)
    stretch = stretch_of_round(study.training, 1)
    work = LocalWork(learner, weights, {}, {}, batches, stretch)
    return private_steps(work, store, people, terms, noise or Noise(KEY))


def gradient(steps: PrivateSteps) -> Tensor:
    parts = [p.grad for p in steps.model.parameters()]
    return torch.cat([part.flatten() for part in parts if part is not None])


def after_one(steps: PrivateSteps) -> Tensor:
    next(iter(steps))
    return gradient(steps)


def test_without_anybody_drawn_the_step_is_noise_of_the_charged_size(store: Store) -> None:
    terms = replace(TERMS, sample_rate=1e-9, noise_multiplier=2.0, clip_norm=0.3)
    steps = steps_for(private(), store, terms)
    numbers = after_one(steps).double() * steps._expected()
    assert steps.measured.steps[0].drawn == 0
    wanted = 2.0 * 0.3
    # The deviation of n normal numbers is right within 5 / sqrt(2 n).
    assert numbers.std() / wanted == pytest.approx(1, abs=5 / np.sqrt(2 * len(numbers)))
    assert abs(numbers.mean()) < 5 * wanted / np.sqrt(len(numbers))


def test_a_share_of_the_noise_is_added_where_sites_share_it(store: Store) -> None:
    terms = replace(TERMS, sample_rate=1e-9, noise_multiplier=2.0, honest_sites=4)
    steps = steps_for(private(), store, terms)
    numbers = after_one(steps).double() * patients_per_step(steps.study)
    assert float(numbers.std()) == pytest.approx(1.0 * terms.clip_norm, rel=0.1)


@pytest.mark.parametrize("people", [PEOPLE[:1], PEOPLE, PEOPLE * 4], ids=len)
def test_no_patient_outweighs_the_noise_that_the_other_sites_add(
    store: Store, people: Sequence[Sequence[str]]
) -> None:
    """In the plain mean of four sites every share and every patient counts the same."""
    study = private("privacy.patients_per_step=3")
    rate = min(1.0, 3 / bucketed(len(people)))
    silent = replace(TERMS, sample_rate=1e-9, noise_multiplier=2.0, honest_sites=4)
    share = after_one(steps_for(study, store, silent, people)).double()
    assert float(share.std()) == pytest.approx(TERMS.clip_norm / 3, rel=0.1)
    clean = replace(TERMS, sample_rate=rate, noise_multiplier=0.0, honest_sites=4)
    steps = steps_for(study, store, clean, people)
    moved = after_one(steps)
    step = steps.measured.steps[0]
    assert float(moved.norm()) == pytest.approx(step.clean_norm / 3, rel=1e-4, abs=1e-9)


def test_noise_is_added_to_the_sum_of_the_drawn_patients_clipped_gradients(store: Store) -> None:
    quiet = replace(TERMS, sample_rate=1.0, noise_multiplier=0.0)
    steps = steps_for(private(), store, quiet)
    found = after_one(steps) * steps._expected()
    images, labels, owner = steps._samples(range(5), 0)
    alone = [
        steps.engine.clipped_sum(images[n : n + 1], labels[n : n + 1], owner[:1], 1, 0.1)
        for n in range(5)
    ]
    names = list(alone[0].sums)
    wanted = torch.cat([sum(one.sums[name] for one in alone).flatten() for name in names])  # type: ignore[union-attr]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert all(float(one.norms[0]) > 0.1 for one in alone), "clipping was not needed"
    assert steps.measured.steps[0].clean_norm <= 0.5


def test_a_patient_with_ten_scans_moves_the_sum_no_further_than_any_other(
    tmp_path: Path,
) -> None:
    study = private()
    store = Store(tmp_path, "contract")
    task = Learner(study).task
    for number in range(10):
        store.put(f"s{number}", task.prepare(ball(number)))
    people = ((*(f"s{n}" for n in range(10)),),)
    quiet = replace(TERMS, sample_rate=1.0, noise_multiplier=0.0, clip_norm=0.05)
    steps = steps_for(study, store, quiet, people)
    next(iter(steps))
    assert steps.measured.steps[0].clean_norm <= 0.05 * (1 + 1e-5)


def test_views_of_a_patient_are_averaged_before_its_gradient_is_clipped(store: Store) -> None:
    quiet = replace(TERMS, sample_rate=1.0, noise_multiplier=0.0, clip_norm=1e9)
    seen = [
        after_one(steps_for(private(f"privacy.augmentation_multiplicity={views}"), store, quiet))
        for views in (1, 4)
    ]
    assert float(seen[1].norm()) < 2 * float(seen[0].norm())
    assert not torch.equal(seen[0], seen[1])


def test_portions_do_not_change_what_a_step_adds_up_to(store: Store) -> None:
    quiet = replace(TERMS, sample_rate=1.0, noise_multiplier=0.0)
    sums = [
        after_one(steps_for(private(f"training.batch_size={size}"), store, quiet))
        for size in (1, 8)
    ]
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-3, atol=1e-6)


def test_a_patient_without_a_finite_gradient_spoils_nothing(store: Store) -> None:
    case = store.get("c0")
    store.put("nan", replace(case, image=np.full_like(case.image, np.nan)))
    quiet = replace(TERMS, sample_rate=1.0, noise_multiplier=0.0)
    whole = after_one(steps_for(private(), store, quiet, (("c1",), ("nan",), ("c2",))))
    assert torch.isfinite(whole).all() and whole.norm() > 0


def test_adaptive_clipping_moves_towards_the_quantile(store: Store) -> None:
    study = private("privacy.adaptive_clip=true", "privacy.clip_quantile=0.5")
    terms = replace(
        TERMS, sample_rate=1.0, noise_multiplier=0.2, steps_per_round=12, clip_norm=1e-4
    )
    steps = steps_for(study, store, terms)
    for _ in steps:
        pass
    assert steps.clip_norm > 2e-4, "every gradient was larger, and the norm stayed"
    steps.require_as_charged()
    assert float(steps.state()["clip"]["norm"]) == steps.clip_norm


def test_steps_as_charged_pass(store: Store) -> None:
    steps = steps_for(private(), store)
    assert len(list(steps)) == 3
    steps.require_as_charged()


def refused(steps: PrivateSteps) -> str:
    with pytest.raises(SiteError) as caught:
        steps.require_as_charged()
    assert caught.value.refusal is Refusal.UNSAFE
    return caught.value.detail


class Quieter(Noise):
    """Half of the noise."""

    def gaussian(self, count: int) -> Tensor:
        return super().gaussian(count) / 2


class Everybody(Noise):
    """Draws every patient, in every step."""

    def uniform(self, count: int) -> np.ndarray:
        return super().uniform(count) if count > len(PEOPLE) else np.zeros(count)


def test_noise_that_was_halved_is_noticed(store: Store) -> None:
    steps = steps_for(private(), store, noise=Quieter(KEY))
    list(steps)
    assert "noise of norm" in refused(steps)


class Unclipped:
    """Hands on every gradient as it is."""

    def __init__(self, honest: GradientEngine) -> None:
        self._honest = honest

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        return self._honest.clipped_sum(images, labels, owner, patients, 1e9)


def test_clipping_that_was_left_out_is_noticed(store: Store) -> None:
    terms = replace(TERMS, sample_rate=1.0)
    steps = steps_for(private(), store, terms)
    steps.engine = Unclipped(steps.engine)
    list(steps)
    assert "the sum's norm" in refused(steps)


def test_steps_left_out_are_noticed(store: Store) -> None:
    steps = steps_for(private(), store)
    next(iter(steps))
    assert "1 steps were taken, 3 were charged" in refused(steps)


def test_patients_drawn_too_often_are_noticed(store: Store) -> None:
    terms = replace(TERMS, sample_rate=0.05, steps_per_round=40)
    steps = steps_for(private(), store, terms)
    steps.noise = Everybody(KEY)
    list(steps)
    assert "patients were drawn" in refused(steps)
