"""How far one patient moves the sum of a step: the sum with the patient and the sum without."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fedvox.client.training.private.clipping import GradientEngine
from fedvox.simulations.audit.attack import Target
from fedvox.simulations.audit.checks import Check
from fedvox.simulations.audit.watching import WatchedLearner

_PATIENTS = 6
_ROUNDING = 1e-2
"""Share by which single precision may exceed the limit in a difference of two sums."""
_TIGHT = 0.1
"""The clipping norm, over the shortest gradient: each of them must be clipped then."""
_SEED = 4


def check_sensitivity(target: Target, learner: WatchedLearner, seed: int) -> Check:
    """Adds and removes patients of the site one by one, through the engine that trains."""
    images, labels = _examples(target, learner, seed)
    engine = learner.clipping
    training = learner.model.training
    learner.model.eval()  # dropout would draw other masks for each sum
    try:
        owner = torch.arange(len(images), device=images.device)
        norms = engine.clipped_sum(images, labels, owner, len(images), 1.0).norms
        clip_norm = _TIGHT * float(norms.min())
        moved = _moved(engine, images, labels, clip_norm) if clip_norm > 0 else 0.0
    finally:
        learner.model.train(training)
    return Check(
        "one patient in a sum",
        f"{moved:.3f} clipping norms",
        "at most 1",
        not moved <= 1 + _ROUNDING,
        f"a patient moves the sum by {moved:.3g} times what the noise is meant to hide",
    )


def _moved(engine: GradientEngine, images: Tensor, labels: Tensor, clip_norm: float) -> float:
    """The farthest that one patient moves the sum, over the clipping norm."""
    whole = _sum(engine, images, labels, clip_norm)
    farthest = 0.0
    for patient in range(len(images)):
        others = torch.arange(len(images), device=images.device) != patient
        without = _sum(engine, images[others], labels[others], clip_norm)
        apart = float(torch.linalg.vector_norm(whole - without)) / clip_norm
        farthest = max(farthest, apart) if apart == apart else apart
    return farthest


def _sum(engine: GradientEngine, images: Tensor, labels: Tensor, clip_norm: float) -> Tensor:
    owner = torch.arange(len(images), device=images.device)
    found = engine.clipped_sum(images, labels, owner, len(images), clip_norm)
    return torch.cat([part.double().flatten() for part in found.sums.values()])


def _examples(target: Target, learner: WatchedLearner, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([seed, _SEED])
    keys = [cases[0] for cases in target.people[:_PATIENTS]]
    pairs = [learner.task.example(target.store.get(key), rng) for key in keys]
    images = torch.from_numpy(np.stack([image for image, _ in pairs]))
    labels = torch.from_numpy(np.stack([label for _, label in pairs]))
    device = learner.device
    images = images.to(device.torch_device, memory_format=device.layout)
    return images, labels.to(device.torch_device)
