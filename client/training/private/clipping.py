"""What a step of private training takes from its patients: their clipped gradients, summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output, target) of a batch -> mean over its samples."""
Autocast = Callable[[], AbstractContextManager[object]]
"""Opens the precision in which the network's forward pass runs."""


@dataclass(frozen=True)
class ClippedSum:
    """The sum of the patients' gradients, each scaled down to at most the clipping norm."""

    sums: dict[str, Tensor]
    """float32, by the name of the trainable parameter."""
    norms: Tensor
    """[patients] before clipping."""
    losses: Tensor
    """[patients] mean over a patient's samples."""

    @property
    def bad(self) -> int:
        """Patients whose gradient was not finite; they added nothing to the sums."""
        return int((~self.norms.isfinite()).sum())


class GradientEngine(Protocol):
    """One way to the clipped sum."""

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n].

        A patient's gradient is the mean over its samples and is clipped once.
        """


class Share(Protocol):
    """What the patients have in the gradient of one parameter."""

    def squares(self) -> Tensor:
        """[patients] squared norms in float32."""

    def weighted(self, factors: Tensor, keep: Tensor | None) -> Tensor:
        """The patients' gradients times their factors, summed; `keep` leaves patients out."""


@dataclass
class Materialised:
    """One gradient a patient."""

    gradients: Tensor
    """[patients, *shape]"""

    def squares(self) -> Tensor:
        """[patients]"""
        norms: Tensor = torch.linalg.vector_norm(self.gradients.flatten(1), dim=1)
        return norms.square()

    def weighted(self, factors: Tensor, keep: Tensor | None) -> Tensor:
        """[*shape]"""
        gradients = self.gradients if keep is None else self.gradients[keep]
        factors = factors if keep is None else factors[keep]
        added: Tensor = torch.mv(gradients.flatten(1).T, factors)
        return added.view(self.gradients.shape[1:])


def factors_of(norms: Tensor, clip_norm: float) -> Tensor:
    """min(1, clip_norm / norm), and zero where the norm is not finite."""
    factors: Tensor = clip_norm / norms.clamp(min=clip_norm)
    return torch.where(norms.isfinite(), factors, 0.0)


def clip_and_add(
    shares: Mapping[str, Share], clip_norm: float, patients: int, device: torch.device
) -> tuple[dict[str, Tensor], Tensor]:
    """The clipped sums by parameter, and the norms before clipping."""
    squares = torch.zeros(patients, device=device)
    for share in shares.values():
        squares = squares + share.squares()
    norms = squares.sqrt()
    finite = norms.isfinite()
    # Not by a factor of zero: zero times NaN would poison the sum of all.
    keep = None if bool(finite.all()) else finite
    factors = factors_of(norms, clip_norm)
    return {name: share.weighted(factors, keep) for name, share in shares.items()}, norms


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def nothing(model: nn.Module, device: torch.device) -> ClippedSum:
    """The sum over no patients: an empty Poisson draw is a step like any other."""
    sums = {name: torch.zeros_like(weight) for name, weight in trainable(model).items()}
    return ClippedSum(sums, torch.zeros(0, device=device), torch.zeros(0, device=device))


def complete(model: nn.Module, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums for every trainable parameter, zero where the loss does not depend on it."""
    return {
        name: sums[name] if name in sums else torch.zeros_like(weight)
        for name, weight in trainable(model).items()
    }


def sample_losses(loss: Loss, output: Tensor, labels: Tensor) -> Tensor:
    """[samples] the loss of each sample by itself, so that no loss can mix patients."""
    return torch.stack(
        [loss(*one) for one in zip(torch.split(output, 1), torch.split(labels, 1), strict=True)]
    )
