"""Per-patient gradients of a weight that its layer standardises before use.

With v the standardised filter and s the factor that made it, v = s * (w - mean(w)), the gradient
of a raw filter is s * (g - mean(g) - (g . v) v), where g is the gradient of v.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedvox.client.training.private.clipping import Materialised, Share
from fedvox.client.training.private.contraction import Ghost
from fedvox.common.tasks.standardise import FLOOR, standardised


@dataclass(frozen=True)
class Filters:
    """The filters of a standardised weight, one a row."""

    standard: Tensor
    """[O, I] v"""
    scale: Tensor
    """[O] s"""

    def raw(self, gradients: Tensor) -> Tensor:
        """Gradients [..., O, I] of the standardised filters -> of the raw ones."""
        along = (gradients * self.standard).sum(-1, keepdim=True)
        flat = gradients - gradients.mean(-1, keepdim=True)
        return flat.sub_(along * self.standard).mul_(self.scale[:, None])


def filters_of(weight: Tensor) -> Filters:
    """The filters of a layer's raw weight."""
    rows = weight.detach().flatten(1).float()
    scale = torch.rsqrt(rows.var(1, unbiased=False) * rows.shape[1] + FLOOR)
    return Filters(standardised(rows), scale)


def through_standardising(share: Share, weight: Tensor) -> Share:
    """What the patients have in the raw weight, from what they have in the standardised one."""
    filters = filters_of(weight)
    if isinstance(share, Ghost):
        return _StandardisedGhost(share, filters)
    if isinstance(share, Materialised):
        rows = share.gradients.flatten(2)
        return Materialised(filters.raw(rows).view(share.gradients.shape))
    return share


@dataclass(frozen=True)
class _StandardisedGhost:
    """By Pythagoras: what the mean and the filter take away is taken off the squared norm."""

    share: Ghost
    filters: Filters

    def squares(self) -> Tensor:
        """[patients]"""
        small = self.share.small * self.filters.scale[:, None, None]
        windows, standard = self.share.windows, self.filters.standard
        whole = Ghost(small, windows, self.share.shape).squares()
        sums = torch.einsum("opt,pt->po", small, windows.sum(0))
        seen = (standard @ windows.flatten(1)).view_as(small)
        along = (small * seen).sum(2)
        left = 2.0 - standard.square().sum(1)
        taken = sums.square().sum(1) / len(windows) + (along.square() * left[:, None]).sum(0)
        return (whole - taken).clamp(min=0.0)

    def weighted(self, factors: Tensor, keep: Tensor | None) -> Tensor:
        """[*shape]"""
        added = self.share.weighted(factors, keep)
        return self.filters.raw(added.flatten(1)).view(added.shape)
