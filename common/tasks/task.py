"""What a task is: everything of training that depends on what is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fedvox.common.arrays import Arrays
from fedvox.common.errors import StudyError
from fedvox.common.study.schema import Study
from fedvox.common.tasks.start import take_over
from fedvox.common.volume import Volume

if TYPE_CHECKING:
    import torch
    from torch import nn

Tally = dict[str, npt.NDArray[np.float64]]
"""Additive sufficient statistics: tallies are summed key by key, metrics come from the sum."""


@dataclass(frozen=True)
class Prepared:
    """A case ready for training, as the store keeps it."""

    image: npt.NDArray[np.float32]
    """[channels, *spatial]"""
    label: npt.NDArray[np.uint8]
    """[*spatial] class indices, or without axes: the class of the whole image."""
    spacing: tuple[float, ...]
    """Voxel spacing in mm."""
    foreground: npt.NDArray[np.int32]
    """[m, 1 + dims]: class and voxel index of some voxels of every foreground class."""


class Task(Protocol):
    """What is trained, on what, and how it is judged."""

    @property
    def kind(self) -> str:
        """segmentation or classification."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index."""

    @property
    def headline(self) -> str:
        """The metric to show first."""

    def build(self) -> nn.Module:
        """The network with its initial weights."""

    def prepare(self, volume: Volume) -> Prepared:
        """The deterministic part of preprocessing; CaseError where the case cannot be used."""

    def example(
        self, case: Prepared, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """One augmented training patch: image [C, *P] and label [1, *P], or [] for a class."""

    def anything(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """Labels of so many examples as chance would have them."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over the batch, computed in float32."""

    def infer(
        self,
        model: nn.Module,
        case: Prepared,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
    ) -> npt.NDArray[Any]:
        """A uint8 label map of the case's shape, or float32 probabilities of the classes."""

    def tally(self, prediction: npt.NDArray[Any], case: Prepared) -> Tally:
        """What one prediction adds to the statistics."""

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Metrics of a summed tally; what the tally holds no case for is left out."""


def task_for(study: Study) -> Task:
    """The task of a study whose classes are resolved."""
    if not study.task.classes:
        raise StudyError("task.classes: not known yet; name them, or let the data source do so")
    _check_classes(study)
    if study.task.kind == "classification":
        from fedvox.common.tasks.classification import Classification

        return Classification(study)
    from fedvox.common.tasks.segmentation import Segmentation

    return Segmentation(study)


def _check_classes(study: Study) -> None:
    """What the study file could not check while its classes were still to come from the source."""
    count, weights = len(study.task.classes), study.training.class_weights
    if count > np.iinfo(np.uint8).max:
        raise StudyError("task.classes: at most 255 classes can be told apart")
    if weights and len(weights) != count:
        raise StudyError(
            f"training.class_weights: has {len(weights)} weights for {count} classes "
            f"({', '.join(study.task.classes)}); give one for each"
        )
    outside = [value for value, to in study.data.label_map.items() if not 0 <= to < count]
    if outside:
        raise StudyError(
            f"data.label_map: {outside[0]!r} maps outside the {count} classes; "
            f"classes go from 0 to {count - 1}"
        )


def initial_weights(study: Study) -> Arrays:
    """The weights every run of the study starts from."""
    drawn = {
        name: tensor.detach().cpu().numpy()
        for name, tensor in task_for(study).build().state_dict().items()
    }
    return take_over(study, drawn)
