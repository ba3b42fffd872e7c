"""The layers engine: every patient's gradient from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from fedvox.client.training.private.clipping import (
    Autocast,
    ClippedSum,
    Loss,
    clip_and_add,
    complete,
    nothing,
    sample_losses,
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
            losses = sample_losses(self.loss, output, owners.sorted(labels)) * owners.shares
            losses.sum().backward()  # type: ignore[no-untyped-call]
        sums, norms = clip_and_add(tape.gather(), clip_norm, patients, images.device)
        return ClippedSum(complete(self.model, sums), norms, owners.totals(losses.detach()))
