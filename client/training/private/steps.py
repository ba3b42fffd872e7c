"""Private steps: patients drawn, their gradients clipped and summed, noise on the sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from fedvox.client.local import LocalWork
from fedvox.client.store import Store
from fedvox.client.training.device import Device
from fedvox.client.training.private.clipping import GradientEngine, nothing, trainable
from fedvox.client.training.private.measured import Measured
from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.noised import add_sums, as_gradients, in_one, noisy_mean
from fedvox.client.training.private.sampling import in_portions, poisson_draw
from fedvox.common.arrays import Arrays
from fedvox.common.privacy.adaptive_clip import (
    NoiseSplit,
    next_clip_norm,
    noisy_share,
    split_of_step,
)
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import Terms, divisor_for
from fedvox.common.study import Study
from fedvox.common.tasks.task import Task

_CLIP = "clip"
_PORTION = 2
"""Batches of a plain step that are held at once; a larger draw is added up in portions."""


def private_steps(
    work: LocalWork, store: Store, people: Sequence[Sequence[str]], terms: Terms, noise: Noise
) -> PrivateSteps:
    """The steps of a piece of work, on the learner's model."""
    learner = work.learner
    clip = work.before.get(_CLIP, {}).get("norm", terms.clip_norm)
    return PrivateSteps(
        learner.study,
        learner.task,
        learner.model,
        learner.device,
        learner.clipping,
        store,
        people,
        terms,
        noise,
        work.seed,
        float(clip),
    )


@dataclass
class PrivateSteps:
    """The steps of one round at one site. Iterated over once, it fills the model's gradients."""

    study: Study
    task: Task
    model: nn.Module
    device: Device
    engine: GradientEngine
    store: Store
    people: Sequence[Sequence[str]]
    """The store keys of each training patient's cases."""
    terms: Terms
    noise: Noise
    seed: int
    """Of patches and augmentation, which tell nothing of who was drawn."""
    clip_norm: float
    """Of the first step; adaptive clipping moves it."""
    measured: Measured = field(default_factory=Measured)

    def require_as_charged(self) -> None:
        """SiteError(UNSAFE) unless the steps that were taken are those that were charged."""
        self.measured.require(self.terms, len(self.people), self._split().gradient)

    def state(self) -> dict[str, Arrays]:
        """What the next round goes on with."""
        if not self.study.privacy.adaptive_clip:
            return {}
        return {_CLIP: {"norm": np.array(self.clip_norm)}}

    def __iter__(self) -> Iterator[Tensor]:
        """Fills the gradients of one step after the other; gives the mean loss of its patients."""
        for step in range(self.terms.steps_per_round):
            yield self._step(step)

    def _step(self, step: int) -> Tensor:
        views = self.study.privacy.augmentation_multiplicity
        sizes = [len(cases) * views for cases in self.people]
        drawn = poisson_draw(len(self.people), self.terms.sample_rate, self.noise)
        limit = _PORTION * self.study.training.batch_size
        weights = trainable(self.model)
        summed: Tensor | None = None
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        for portion in in_portions(drawn, sizes, limit):
            images, labels, owner = self._samples(portion, step)
            found = self.engine.clipped_sum(images, labels, owner, len(portion), self.clip_norm)
            if summed is None:
                summed = in_one(found.sums, weights)
            else:
                add_sums(summed, found.sums, weights)
            losses.append(found.losses)
            norms.append(found.norms)
        split = self._split()
        if summed is None:
            summed = in_one(nothing(self.model, self.device.torch_device).sums, weights)
        deviation = split.gradient * self.clip_norm
        divisor = divisor_for(self.study, self.terms, bucketed(len(self.people)))
        added = noisy_mean(summed, self.noise, deviation, divisor)
        self.measured.step(
            len(drawn), added.clean_norm, added.noise_norm, len(summed), self.clip_norm
        )
        as_gradients(weights, summed)
        if self.study.privacy.adaptive_clip:
            self._adapt(torch.cat(norms) if norms else torch.zeros(0), split)
        return torch.cat(losses).mean() if losses else torch.zeros(())

    def _samples(self, patients: Sequence[int], step: int) -> tuple[Tensor, Tensor, Tensor]:
        views = self.study.privacy.augmentation_multiplicity
        examples, owner = [], []
        for place, patient in enumerate(patients):
            for number, key in enumerate(self.people[patient]):
                for view in range(views):
                    rng = np.random.default_rng([self.seed, 2, step, patient, number, view])
                    examples.append(self.task.example(self.store.get(key), rng))
                    owner.append(place)
        images = torch.from_numpy(np.stack([image for image, _ in examples]))
        labels = torch.from_numpy(np.stack([label for _, label in examples]))
        target = self.device.torch_device
        images = images.to(target, memory_format=self.device.layout)
        return images, labels.to(target), torch.tensor(owner, device=target)

    def _split(self) -> NoiseSplit:
        """Noise multipliers of what this site adds: to the gradients and to the count."""
        added = self.terms.placed.added
        if not self.study.privacy.adaptive_clip:
            return NoiseSplit(added, 0.0)
        return split_of_step(added, self._expected())

    def _adapt(self, norms: Tensor, split: NoiseSplit) -> None:
        halves = float((norms <= self.clip_norm).sum()) - len(norms) / 2
        noise = float(self.noise.gaussian(1)[0]) * split.count
        share = noisy_share(halves, noise, self._expected())
        self.clip_norm = next_clip_norm(self.clip_norm, share, self.study.privacy.clip_quantile)

    def _expected(self) -> float:
        """Patients of a step on average, by what may be known outside."""
        return self.terms.sample_rate * bucketed(len(self.people))
