"""One private step on one patient: the most that an update can tell of anybody's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedvox.client.training.learner import Learner
from fedvox.client.training.private.clipping import ClippedSum, GradientEngine, trainable
from fedvox.client.training.schedule import stretch_of_round
from fedvox.common.arrays import Arrays
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import terms_for
from fedvox.common.study import Study, dump_study, parse_study
from fedvox.common.tasks.task import initial_weights
from fedvox.simulations.audit.attack import Target, run_rounds
from fedvox.simulations.audit.canaries import ListeningStore
from fedvox.simulations.audit.checks import Check
from fedvox.simulations.audit.watching import Watch, WatchedLearner

_EDGE = 16
"""Of the patch that is reconstructed, where the network can see so small a one."""
_SMALLEST_MAP = 2
_AGREEMENT = 1e-3


@dataclass(frozen=True)
class SingleStep:
    """What one step on one patient gave."""

    study: Study
    image: Tensor
    """[1, C, *P] the patient's, as the network saw it."""
    label: Tensor
    clean: dict[str, Tensor]
    """The patient's clipped gradient."""
    noisy: dict[str, Tensor]
    """The same as the attacker sees it."""
    update: Arrays | None
    """What left the site; None where the site held it back."""


@dataclass
class _Keeping:
    """An engine that keeps the samples it was given first."""

    engine: GradientEngine
    watch: Watch
    kept: tuple[Tensor, Tensor] | None = None

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n]."""
        if self.kept is None:
            self.kept = images[:1].clone(), labels[:1].clone()
        found = self.engine.clipped_sum(images, labels, owner, patients, clip_norm)
        self.watch.summed(found.sums, clip_norm)
        return found


def take_single_step(target: Target, seed: int, home: Path) -> SingleStep | None:
    """A round of one step by the product's site, whose only patient is the target's first.

    None where no gradient was seen.
    """
    study, people = single_study(target, seed), target.people[:1]
    terms = terms_for(study, bucketed(1))
    learner = WatchedLearner(study)
    watch = Watch(terms.sample_rate * bucketed(1), np.zeros(0, np.int64), np.zeros(0, np.int64))
    engine = _Keeping(learner.clipping, watch)
    learner.watch, learner.clipping = watch, engine
    store = ListeningStore(target.store, target.store.get(people[0][0]), watch)
    (reply,) = run_rounds(study, target.site, (people[0][:1],), store, learner, 1, home)
    if engine.kept is None or not watch.first:
        return None
    return SingleStep(
        study,
        *engine.kept,
        clean={name: clean for name, (_, clean) in watch.first.items()},
        noisy={name: noisy for name, (noisy, _) in watch.first.items()},
        update=reply.arrays.get("update"),
    )


def single_study(target: Target, seed: int) -> Study:
    """One step on one patient as it is, with the noise of the study; a small patch if may be."""
    study, terms = target.study, target.terms
    settings = [
        f"study.seed={seed}",
        "strategy.name=fedavg",
        "training.rounds=1",
        "training.local_steps=1",
        "training.batch_size=1",
        f"privacy.noise_multiplier={terms.noise_multiplier!r}",
        f"privacy.delta={terms.delta!r}",
        "privacy.patients_per_step=1",
        "privacy.augmentation_multiplicity=1",
        "privacy.adaptive_clip=false",
        "simulation.epsilon_cap=0.0",
    ]
    off = ("flip", "rotate", "scale", "elastic", "grid", "noise", "blur", "contrast")
    settings += [f"training.augment.{name}=0.0" for name in off]
    if _sees_small_patches(study):
        settings.append(f"data.patch={[min(edge, _EDGE) for edge in study.data.patch]}")
    return parse_study(dump_study(study), "audit", settings)


def _sees_small_patches(study: Study) -> bool:
    coarsest = 2 ** (len(study.model.channels) - 1)
    fits = all(min(edge, _EDGE) // coarsest >= _SMALLEST_MAP for edge in study.data.patch)
    return study.task.kind == "segmentation" and study.model.name == "unet" and fits


def check_update(step: SingleStep) -> Check | None:
    """Whether what left the site is made of the noisy gradient and nothing else."""
    if step.update is None:
        return None
    learner = Learner(step.study)
    weights = initial_weights(step.study)
    stretch = stretch_of_round(step.study.training, 1)
    due = learner.train(weights, _given(learner, step.noisy), stretch).update
    apart = max(
        float(np.abs(np.subtract(step.update[name], due[name])).max(initial=0.0)) for name in due
    ) / max(float(np.abs(value).max(initial=0.0)) for value in due.values())
    same = step.update.keys() == due.keys() and apart <= _AGREEMENT
    return Check(
        "what leaves the site",
        f"{apart:.1e} apart",
        "the noisy steps alone",
        not same,
        "the update holds more than the noisy steps: something left without noise",
    )


def _given(learner: Learner, gradient: dict[str, Tensor]) -> Iterator[Tensor]:
    for name, weight in trainable(learner.model).items():
        weight.grad = torch.empty_like(weight).copy_(gradient[name])
    yield torch.zeros(())
