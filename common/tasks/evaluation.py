"""What inference has in common: no gradients, evaluation mode, autocast, finite outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from fedvox.common.errors import NotFiniteError


@contextmanager
def evaluating(
    model: nn.Module, device: torch.device, autocast_dtype: torch.dtype | None
) -> Iterator[None]:
    """The model in evaluation mode, without gradients; afterwards in the mode it was in."""
    was_training = model.training
    model.eval()
    autocast = torch.autocast(device.type, autocast_dtype, enabled=autocast_dtype is not None)
    try:
        with torch.inference_mode(), autocast:
            yield
    finally:
        model.train(was_training)


def require_finite_output(scores: torch.Tensor) -> None:
    """Raises NotFiniteError: a maximum over NaN would look like a prediction."""
    if not torch.isfinite(scores).all():
        raise NotFiniteError(
            "the model's output holds NaN or infinity; lower training.lr or set "
            "training.precision = 'fp32'"
        )
