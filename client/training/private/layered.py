"""The layers engine: every patient's gradient from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import (
    Autocast,
    ClippedSum,
    Loss,
    clip_and_add,
    complete,
    nothing,
)
from fedvox.client.training.private.contraction import Way
from fedvox.client.training.private.owners import owners_of
from fedvox.client.training.private.tape import Tape, recording


@dataclass(frozen=True)
class LayersEngine:
    """Book-keeping layer by layer, each in the way that is fastest for its shapes."""

    model: nn.Module
    loss: Loss
    autocast: Autocast
    ways: Mapping[str, Way] = field(default_factory=dict)
    """By the name of the layer; a layer that is not named goes the default way."""

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n]."""
        if not patients:
            return nothing(self.model, images.device)
        owners = owners_of(owner, patients)
        tape = Tape(self.ways, owners)
        with recording(self.model, tape):
            with self.autocast():
                output = self.model(owners.sorted(images))
            losses, start = _losses(self.loss, output, owners.sorted(labels), owners.shares)
            del output  # of which the backward pass needs nothing but the gradient
            start.backward()  # type: ignore[no-untyped-call]
        sums, norms = clip_and_add(tape.gather(), clip_norm, patients, images.device)
        return ClippedSum(complete(self.model, sums), norms, owners.totals(losses))


def _losses(loss: Loss, output: Tensor, labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """[samples] losses, each of one sample by itself and times its share, and where their backward
    pass starts.

    What the loss lays out on its way is let go sample by sample.
    """
    losses, gradient = torch.zeros_like(shares), torch.zeros_like(output)
    maps = zip(torch.split(output.detach(), 1), torch.split(labels, 1), strict=True)
    for at, (image, label) in enumerate(maps):
        value = loss(image.requires_grad_(), label) * shares[at]
        losses[at] = value.detach()
        if value.requires_grad:
            (gradient[at : at + 1],) = torch.autograd.grad(value, image)
    start: Tensor = _Known.apply(output, gradient)  # type: ignore[no-untyped-call]
    return losses, start


class _Known(torch.autograd.Function):
    """Where a backward pass starts with a gradient that is known."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, gradient: Tensor) -> Tensor:
        """Nothing but a handle."""
        ctx.gradient = gradient
        return output.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Hands the gradient on and keeps none of it."""
        gradient: Tensor = ctx.gradient
        del ctx.gradient
        return gradient, None
