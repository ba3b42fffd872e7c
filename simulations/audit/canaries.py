"""Canary patients: each moves one number of the model that no other canary moves.

A canary is a patient like any other for everything but its gradient: it is on the roster, drawn,
counted and clipped by the product's own code. Its gradient lies along one coordinate and is longer
than the clipping norm, so that left unclipped it would show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedvox.client.store import Store
from fedvox.client.training.private.clipping import (
    ClippedSum,
    GradientEngine,
    clip_and_add,
    complete,
    trainable,
)
from fedvox.common.errors import InputError
from fedvox.common.tasks.task import Prepared

LENGTH = 10.0
"""Norm of a canary's gradient before clipping, over the study's clipping norm."""
_PREFIX = "canary-"
_ENOUGH = 1000
_DENSEST = 4
"""Numbers of a model for each canary at least."""


@dataclass(frozen=True)
class Canaries:
    """Where each canary points, and whether it takes part."""

    coordinates: npt.NDArray[np.int64]
    """Number of the model's trainable numbers, counted through, that a canary moves."""
    took_part: npt.NDArray[np.bool_]
    norm: float
    """Of a canary's gradient before clipping."""

    @property
    def people(self) -> tuple[tuple[str, ...], ...]:
        """The cases of those that take part, as a roster has them."""
        return tuple((f"{_PREFIX}{number:07d}",) for number in np.flatnonzero(self.took_part))


def most_canaries(numbers: int) -> int:
    """What an audit takes for a model of `numbers` trainable numbers."""
    return max(1, min(_ENOUGH, numbers // _DENSEST))


def hatch(count: int, numbers: int, clip_norm: float, rng: np.random.Generator) -> Canaries:
    """So many canaries for a model of `numbers` trainable numbers; a fair coin for each."""
    if not 1 <= count <= numbers // _DENSEST:
        raise InputError(
            f"--canaries {count}: give from 1 to {numbers // _DENSEST}, a quarter of the model's "
            "trainable numbers"
        )
    coordinates = rng.choice(numbers, count, replace=False)
    return Canaries(coordinates, rng.random(count) < 0.5, LENGTH * clip_norm)


def number_of(key: str) -> int | None:
    """Which canary a case belongs to; None for a patient's."""
    return int(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else None


class Watcher(Protocol):
    """Who is told what a step reads and adds up."""

    def read(self, key: str) -> None:
        """A case was opened."""

    def last_read(self, count: int) -> Sequence[str]:
        """The cases opened last, in their order."""

    def summed(self, sums: Mapping[str, Tensor], clip_norm: float) -> None:
        """Part of a step's sum, before noise."""


class ListeningStore(Store):
    """The site's own cases, and a blank one for every canary; tells what is opened."""

    def __init__(self, cases: Store, blank: Prepared, watcher: Watcher) -> None:
        super().__init__(cases.folder.parent, cases.folder.name)
        self._cases = cases
        self._blank = blank
        self._watcher = watcher

    def get(self, key: str) -> Prepared:
        """The case."""
        self._watcher.read(key)
        return self._blank if number_of(key) is not None else self._cases.get(key)


@dataclass(frozen=True)
class CanaryEngine:
    """The product's engine for patients, and its clipping for canaries."""

    patients_engine: GradientEngine
    model: nn.Module
    canaries: Canaries
    watcher: Watcher

    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        """Of `patients` patients; sample n belongs to patient owner[n]."""
        keys = self.watcher.last_read(len(images))
        numbers: list[int | None] = [None] * patients
        for place, key in zip(owner.tolist(), keys, strict=True):
            numbers[place] = number_of(key)
        real = [place for place, number in enumerate(numbers) if number is None]
        false = [place for place, number in enumerate(numbers) if number is not None]
        total = ClippedSum(complete(self.model, {}), images.new_zeros(patients), images[:0])
        losses = images.new_zeros(patients)
        for places, part in (
            (real, self._of_patients(real, images, labels, owner, clip_norm)),
            (false, self._of_canaries([n for n in numbers if n is not None], clip_norm)),
        ):
            if part is not None:
                for name, sums in part.sums.items():
                    total.sums[name].add_(sums)
                total.norms[places] = part.norms.to(total.norms)
                losses[places] = part.losses.to(losses)
        self.watcher.summed(total.sums, clip_norm)
        return ClippedSum(total.sums, total.norms, losses)

    def _of_patients(
        self, places: list[int], images: Tensor, labels: Tensor, owner: Tensor, clip_norm: float
    ) -> ClippedSum | None:
        if not places:
            return None
        own = torch.isin(owner, torch.tensor(places, device=owner.device))
        again = {place: number for number, place in enumerate(places)}
        renumbered = torch.tensor([again[place] for place in owner[own].tolist()])
        return self.patients_engine.clipped_sum(
            images[own], labels[own], renumbered.to(owner.device), len(places), clip_norm
        )

    def _of_canaries(self, numbers: list[int], clip_norm: float) -> ClippedSum | None:
        if not numbers:
            return None
        device = next(iter(trainable(self.model).values())).device
        shares = {
            name: Pointed(len(numbers), shape, who, place, self.canaries.norm, device)
            for name, shape, who, place in self._pointed(numbers)
        }
        sums, norms = clip_and_add(shares, clip_norm, len(numbers), device)
        return ClippedSum(complete(self.model, sums), norms, torch.zeros(len(numbers)))

    def _pointed(self, numbers: list[int]) -> Iterator[tuple[str, torch.Size, Tensor, Tensor]]:
        """Parameters that some canaries point into: who does, and at which of its numbers."""
        places = torch.from_numpy(self.canaries.coordinates[numbers])
        first = 0
        for name, weight in trainable(self.model).items():
            who = torch.nonzero((places >= first) & (places < first + weight.numel()))[:, 0]
            if len(who):
                yield name, weight.shape, who, places[who] - first
            first += weight.numel()


@dataclass(frozen=True)
class Pointed:
    """Gradients of one parameter that are zero but for one number each."""

    patients: int
    shape: torch.Size
    who: Tensor
    """Patients that have such a gradient."""
    place: Tensor
    """Which number it is, for each of them."""
    norm: float
    device: torch.device

    def squares(self) -> Tensor:
        """[patients]"""
        squares = torch.zeros(self.patients, device=self.device)
        squares[self.who.to(self.device)] = self.norm**2
        return squares

    def weighted(self, factors: Tensor, keep: Tensor | None) -> Tensor:
        """[*shape]"""
        del keep  # all of these gradients are finite
        added = torch.zeros(self.shape.numel(), device=self.device)
        added[self.place.to(self.device)] = factors[self.who.to(self.device)] * self.norm
        return added.view(self.shape)
