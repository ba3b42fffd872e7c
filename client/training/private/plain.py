"""Engines that lean on autograd alone: they can do every network, and are not the fastest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedvox.client.training.private.clipping import (
    Autocast,
    ClippedSum,
    Loss,
    Materialised,
    clip_and_add,
    complete,
    factors_of,
    nothing,
    sample_losses,
    trainable,
)
from fedvox.client.training.private.owners import owners_of


@dataclass(frozen=True)
class LoopEngine:
    """One patient after the other: any network, and the least memory."""

    model: nn.Module
    loss: Loss
    autocast: Autocast

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n]."""
        if not patients:
            return nothing(self.model, images.device)
        owners_of(owner, patients)
        weights = trainable(self.model)
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        norms, losses = images.new_zeros(patients), images.new_zeros(patients)
        for patient in range(patients):
            own = owner == patient
            image = images[own].requires_grad_()
            with self.autocast():
                output = self.model(image)
            loss = sample_losses(self.loss, output, labels[own]).mean()
            # The image's gradient is asked for as well: torch crashes in a group norm, channels
            # last, that need not pass one on.
            *found, _ = torch.autograd.grad(loss, [*weights.values(), image], allow_unused=True)
            gradients = dict(zip(weights, found, strict=True))
            losses[patient] = loss.detach()
            norms[patient] = _add_clipped(sums, gradients, clip_norm)
        return ClippedSum(sums, norms, losses)


def _add_clipped(
    sums: dict[str, Tensor], gradients: Mapping[str, Tensor | None], clip_norm: float
) -> Tensor:
    """Adds one patient's gradient, clipped, and gives its norm; nothing if it is not finite."""
    known = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    parts = [torch.linalg.vector_norm(gradient) for gradient in known.values()]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(parts))
    if norm.isfinite():
        factor = factors_of(norm, clip_norm)
        for name, gradient in known.items():
            sums[name].addcmul_(gradient, factor)
    return norm


@dataclass(frozen=True)
class VmapEngine:
    """All samples at once by torch.func: networks without state and data-dependent branches."""

    model: nn.Module
    loss: Loss
    autocast: Autocast

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n]."""
        if not patients:
            return nothing(self.model, images.device)
        owners = owners_of(owner, patients)
        copies = {
            name: weight.detach().expand(len(images), *weight.shape).requires_grad_()
            for name, weight in trainable(self.model).items()
        }
        places = {place: copies[name] for place, name in _places(self.model).items()}
        output = vmap(self._one, randomness="different")(places, owners.sorted(images))
        losses = sample_losses(self.loss, output, owners.sorted(labels)) * owners.shares
        found = torch.autograd.grad(losses.sum(), list(copies.values()), allow_unused=True)
        shares = {
            name: Materialised(owners.totals(gradient))
            for name, gradient in zip(copies, found, strict=True)
            if gradient is not None
        }
        sums, norms = clip_and_add(shares, clip_norm, patients, images.device)
        return ClippedSum(complete(self.model, sums), norms, owners.totals(losses.detach()))

    def _one(self, weights: dict[str, Tensor], image: Tensor) -> Tensor:
        with self.autocast():
            output: Tensor = functional_call(self.model, weights, (image[None],), tie_weights=False)
        first: Tensor = output[0]
        return first


def _places(model: nn.Module) -> dict[str, str]:
    """Where trainable parameters stand, each layer visited once -> their names.

    torch ties places by the parameter and would leave a copy behind in a layer that is registered
    twice.
    """
    names = {id(weight): name for name, weight in trainable(model).items()}
    return {
        f"{layer}.{own}" if layer else own: names[id(weight)]
        for layer, module in model.named_modules()
        for own, weight in module.named_parameters(recurse=False)
        if id(weight) in names
    }
