"""What the attacker and the auditor see of private steps, noted step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedvox.client.training.learner import Learner, Pull, Trained
from fedvox.client.training.private.clipping import trainable
from fedvox.client.training.schedule import Stretch
from fedvox.common.arrays import Arrays
from fedvox.common.study import Study

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SeenStep:
    """One step: what an attacker sees of it, and what only the auditor does."""

    shown: Floats
    """[canaries] the noisy sum at the canaries' coordinates: the attacker's."""
    drawn: frozenset[str]
    """The cases that were opened."""
    clip_norm: float | None
    """None where nobody was drawn."""
    squares: Floats
    """[tensors] of the noise alone, summed."""
    fourths: float
    """Fourth powers of the noise, summed."""
    sample: Floats
    """The noise at a few places, the same in every step."""


@dataclass
class Watch:
    """Takes part in every step of a learner and keeps what it saw."""

    expected: float
    """Patients of a step on average, or what else the sum is divided by before it is used."""
    coordinates: npt.NDArray[np.int64]
    """Of the canaries."""
    places: npt.NDArray[np.int64]
    """Where the noise is sampled."""
    steps: list[SeenStep] = field(default_factory=list)
    first: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Noisy and clean sum of the first step by parameter."""
    _opened: list[str] = field(default_factory=list)
    _sums: dict[str, Tensor] = field(default_factory=dict)
    _clip_norm: float | None = None

    def read(self, key: str) -> None:
        """A case was opened."""
        self._opened.append(key)

    def last_read(self, count: int) -> Sequence[str]:
        """The cases opened last, in their order."""
        return self._opened[-count:] if count else ()

    def summed(self, sums: Mapping[str, Tensor], clip_norm: float) -> None:
        """Part of a step's sum, before noise."""
        self._clip_norm = clip_norm
        for name, part in sums.items():
            before = self._sums.get(name)
            self._sums[name] = part.clone() if before is None else before.add_(part)

    @torch.no_grad()
    def stepped(self, model: nn.Module) -> None:
        """A step's gradients are ready."""
        noisy, noise = [], []
        for name, weight in trainable(model).items():
            grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            whole = torch.mul(grad.double(), self.expected).flatten()
            clean = self._sums.get(name, torch.zeros_like(weight)).double().flatten()
            if not self.steps:
                shape = weight.shape
                self.first[name] = (whole.clone().view(shape), clean.clone().view(shape))
            noisy.append(whole.cpu().numpy())
            noise.append((whole - clean).cpu().numpy())
        self._note(np.concatenate(noisy), noise)
        self._opened, self._sums, self._clip_norm = [], {}, None

    def _note(self, noisy: Floats, noise: list[Floats]) -> None:
        whole = np.concatenate(noise)
        squares = whole**2
        step = SeenStep(
            shown=noisy[self.coordinates],
            drawn=frozenset(self._opened),
            clip_norm=self._clip_norm,
            squares=np.array([float(part @ part) for part in noise]),
            fourths=float(squares @ squares),
            sample=whole[self.places],
        )
        self.steps.append(step)


class WatchedLearner(Learner):
    """The product's learner; somebody looks at every step's gradient before it is used."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.watch: Watch | None = None

    def train(
        self,
        weights: Arrays,
        gradients: Iterable[Tensor],
        stretch: Stretch,
        moments: Arrays | None = None,
        pull: Pull | None = None,
        seed: int = 0,
    ) -> Trained:
        """As the learner does."""
        return super().train(weights, self._shown(gradients), stretch, moments, pull, seed)

    def _shown(self, gradients: Iterable[Tensor]) -> Iterator[Tensor]:
        for loss in gradients:
            if self.watch is not None:
                self.watch.stepped(self.model)
            yield loss
