"""Two engines must say the same before one of them is trusted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import GradientEngine
from fedvox.common.errors import FedvoxError


def require_equal(
    engine: GradientEngine,
    other: GradientEngine,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    tolerance: float = 1e-3,
) -> None:
    """Raises FedvoxError unless both engines give the same clipped sum, each sample a patient."""
    owner = torch.arange(len(images), device=images.device)
    training = model.training
    model.eval()  # dropout would draw other masks for each of them
    try:
        one, two = (
            by.clipped_sum(images, labels, owner, len(images), 1.0) for by in (engine, other)
        )
    finally:
        model.train(training)
    scale = max(float(value.abs().max()) for value in two.sums.values())
    for name, value in two.sums.items():
        apart = float((one.sums[name] - value).abs().max())
        if not apart <= tolerance * scale:
            raise FedvoxError(
                f"the gradients of {name} differ between two engines by {apart / scale:.1e} of the "
                "largest; use the engine 'loop', and report this"
            )
