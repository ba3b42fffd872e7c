"""Which patient each sample of a batch belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedvox.common.errors import FedvoxError


@dataclass(frozen=True)
class Owners:
    """The patients of a batch whose samples lie in the order of their patients."""

    patients: int
    owner: Tensor
    """[samples] patient of each sample, ascending."""
    order: Tensor | None
    """[samples] that brings the samples as they came into this order; None: they were in it."""
    most: int
    """Most samples of one patient."""
    slots: Tensor | None
    """[patients * most] sample in each slot, or the number of samples where a slot is empty;
    None: no slot is empty."""
    shares: Tensor
    """[samples] one over the samples of its patient."""

    def sorted(self, samples: Tensor) -> Tensor:
        """Samples as they came -> samples in the order of their patients."""
        return samples if self.order is None else samples[self.order]

    def padded(self, samples: Tensor) -> Tensor:
        """[samples, ...] -> [patients * most, ...] with zeros in the empty slots."""
        if self.slots is None:
            return samples
        return torch.cat([samples, samples.new_zeros((1, *samples.shape[1:]))])[self.slots]

    def totals(self, samples: Tensor) -> Tensor:
        """[samples, ...] -> [patients, ...] summed in float32."""
        padded = self.padded(samples.float())
        if self.most == 1:
            return padded
        return padded.view(self.patients, self.most, *samples.shape[1:]).sum(1)


def owners_of(owner: Tensor, patients: int) -> Owners:
    """Owners from the patient index of each sample; every patient must have a sample."""
    if owner.ndim != 1 or owner.dtype != torch.int64:
        raise FedvoxError(
            f"owner: needs one int64 for each sample, got {owner.dtype} {owner.shape}"
        )
    if not owner.numel() or int(owner.min()) < 0 or int(owner.max()) >= patients:
        raise FedvoxError(f"owner: must name the patients 0 to {patients - 1}")
    counts = torch.bincount(owner, minlength=patients)
    if int(counts.min()) == 0:
        raise FedvoxError(f"owner: patient {int(counts.argmin())} has no sample in the batch")
    order = None if bool((owner[1:] >= owner[:-1]).all()) else torch.argsort(owner, stable=True)
    ascending = owner if order is None else owner[order]
    most = int(counts.max())
    slots = None if int(counts.min()) == most else _slots(counts, most)
    return Owners(patients, ascending, order, most, slots, 1.0 / counts[ascending].float())


def _slots(counts: Tensor, most: int) -> Tensor:
    place = torch.arange(most, device=counts.device)
    first = torch.cumsum(counts, 0) - counts
    filled = place[None, :] < counts[:, None]
    samples = first[:, None] + place[None, :]
    return torch.where(filled, samples, counts.sum()).flatten()
