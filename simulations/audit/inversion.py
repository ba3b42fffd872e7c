"""Gradient inversion: an image is sought whose gradient points where the update pointed.

The attacker is stronger than any real one: the step saw a single patient, the network has its
initial weights, and the labels are known. What the labels alone give away is the measure: the same
search is made where the patient was absent, on noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedvox.client.training.learner import Learner
from fedvox.client.training.private.clipping import trainable
from fedvox.common.tasks.task import initial_weights
from fedvox.simulations.audit.attack import Target
from fedvox.simulations.audit.checks import Check
from fedvox.simulations.audit.single import SingleStep

_RATE = 0.1
_SMOOTHNESS = 1e-3
_MARGIN = 0.1
"""By how much of a correlation a reconstruction must beat chance."""
_OTHERS = 16
_SEED = 5


@dataclass(frozen=True)
class Likeness:
    """How like the patient's image a reconstruction is."""

    correlation: float
    psnr_db: float
    others: float
    """Highest correlation with an image of another patient; NaN where there is none."""


@dataclass(frozen=True)
class Inversion:
    """What was got back of the image."""

    bare: Likeness
    """From the clipped gradient without noise."""
    noisy: Likeness
    """From what the attacker sees."""
    absent: Likeness
    """From noise alone."""
    iterations: int

    @property
    def found(self) -> bool:
        """Whether the noisy step gave the image away."""
        return _found(self.noisy, self.absent)

    @property
    def found_bare(self) -> bool:
        """Whether the step would have, without noise."""
        return _found(self.bare, self.absent)

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "found": self.found, "found_without_noise": self.found_bare}

    def as_check(self) -> Check:
        """As one of the audit's questions."""
        return Check(
            "image from one update",
            f"correlation {self.noisy.correlation:.2f}",
            f"{self.absent.correlation:.2f} by chance, {self.bare.correlation:.2f} without noise",
            self.found,
            "a patient's image can be reconstructed from what leaves the site",
        )


def _found(with_patient: Likeness, absent: Likeness) -> bool:
    chance = max(
        absent.correlation, 0.0 if math.isnan(with_patient.others) else with_patient.others
    )
    return with_patient.correlation > chance + _MARGIN


def invert(step: SingleStep, target: Target, iterations: int, seed: int) -> Inversion:
    """Searches for the image behind the step: without noise, with it, and behind noise alone."""
    rng = np.random.default_rng([seed, _SEED])
    learner = Learner(step.study)
    others = _others(step, target, learner, rng)
    start = torch.from_numpy(rng.normal(size=step.image.shape).astype(np.float32))
    noise = {name: noisy - step.clean[name] for name, noisy in step.noisy.items()}

    def likeness(goal: Mapping[str, Tensor]) -> Likeness:
        image = reconstruct(learner, goal, start, step.label, iterations)
        return _likeness(image, step.image, others)

    return Inversion(likeness(step.clean), likeness(step.noisy), likeness(noise), iterations)


def reconstruct(
    learner: Learner, goal: Mapping[str, Tensor], start: Tensor, label: Tensor, iterations: int
) -> Tensor:
    """The image whose gradient comes closest to the direction of `goal`."""
    learner.load(initial_weights(learner.study))
    learner.model.eval()
    weights = trainable(learner.model)
    device = learner.device.torch_device
    wanted = _unit(torch.cat([goal[name].flatten() for name in weights])).float().to(device)
    image = start.to(device).clone().requires_grad_()
    mean, square = torch.zeros_like(image), torch.zeros_like(image)
    for number in range(iterations):
        with torch.autocast(device.type, enabled=False):
            loss = learner.task.loss(learner.model(image), label)
        found = torch.autograd.grad(
            loss, list(weights.values()), create_graph=True, materialize_grads=True
        )
        direction = _unit(torch.cat([part.flatten() for part in found]))
        cost = 1 - direction @ wanted + _SMOOTHNESS * _roughness(image)
        (slope,) = torch.autograd.grad(cost, image)
        with torch.no_grad():
            # Adam, written out: torch's class would load the compiler.
            mean.lerp_(slope, 0.1)
            square.lerp_(slope.square(), 0.01)
            unbiased = mean / (1 - 0.9 ** (number + 1))
            scale = (square / (1 - 0.99 ** (number + 1))).sqrt_() + 1e-12
            rate = _RATE * 0.5 * (1 + math.cos(math.pi * number / iterations))
            image -= rate * unbiased / scale
    return image.detach().cpu()


def _unit(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector)
    return vector / length.clamp(min=1e-12)


def _roughness(image: Tensor) -> Tensor:
    axes = range(2, image.ndim)
    return torch.stack([image.diff(dim=axis).abs().mean() for axis in axes]).sum()


def _others(
    step: SingleStep, target: Target, learner: Learner, rng: np.random.Generator
) -> list[Tensor]:
    keys = [cases[0] for cases in target.people[1 : _OTHERS + 1]]
    images = (learner.task.example(target.store.get(key), rng)[0] for key in keys)
    return [torch.from_numpy(np.array(image))[None] for image in images]


def _likeness(image: Tensor, truth: Tensor, others: list[Tensor]) -> Likeness:
    truth = truth.cpu().float()
    error = float((image - truth).square().mean())
    reach = float(truth.max() - truth.min())
    return Likeness(
        correlation=_correlation(image, truth),
        psnr_db=10 * math.log10(reach**2 / error) if error > 0 < reach else math.inf,
        others=max((_correlation(image, other) for other in others), default=math.nan),
    )


def _correlation(one: Tensor, two: Tensor) -> float:
    both = torch.stack([one.double().flatten(), two.double().flatten()])
    both = both - both.mean(1, keepdim=True)
    lengths = torch.linalg.vector_norm(both, dim=1)
    product = float(lengths.prod())
    return float(both[0] @ both[1]) / product if product > 0 else 0.0
