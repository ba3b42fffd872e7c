"""Segmentation: a class for every voxel, by networks that see patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.losses.dice import DiceLoss
from torch import nn
from torch.nn import functional

from fedvox.common.study.schema import Study
from fedvox.common.tasks.augment import augment
from fedvox.common.tasks.evaluation import evaluating, require_finite_output
from fedvox.common.tasks.geometry import pad_to
from fedvox.common.tasks.metrics import segmentation_metrics, segmentation_tally
from fedvox.common.tasks.networks import build_network
from fedvox.common.tasks.patches import inner_box, random_start, read_patch
from fedvox.common.tasks.preprocess import prepare
from fedvox.common.tasks.task import Prepared, Tally
from fedvox.common.volume import Volume

_WINDOWS_AT_ONCE = {"cpu": 4, "cuda": 16}


@dataclass(frozen=True)
class Segmentation:
    """A label for every voxel."""

    study: Study
    kind: str = "segmentation"
    headline: str = "dice"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index, the background first."""
        return self.study.task.classes

    def build(self) -> nn.Module:
        """The study's network with its initial weights."""
        return build_network(self.study)

    def prepare(self, volume: Volume) -> Prepared:
        """The deterministic part of preprocessing."""
        return prepare(volume, self.study)

    def example(
        self, case: Prepared, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """A random patch, augmented: image [C, *P] and class indices [1, *P]."""
        patch, training = self.study.data.patch, self.study.training
        start = random_start(case, patch, training.foreground, rng)
        image, label = read_patch(case, start, patch)
        image, changed = augment(training.augment, image, label, case.spacing, rng)
        return image, (label if changed is None else changed)[None].astype(np.int64)

    def anything(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """Labels of so many patches as chance would have them."""
        shape = (count, 1, *self.study.data.patch)
        return torch.randint(len(self.classes), shape, generator=rng)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Dice + cross-entropy, each per image and then averaged, so that patients do not mix.

        Dice leaves the background out, whose share would drown small structures; the
        cross-entropy is weighted by training.class_weights.
        """
        scores = output.float()
        dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)(scores, target)
        total: torch.Tensor = dice + self._cross_entropy(scores, target[:, 0])
        return total

    def _cross_entropy(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        weights = self.study.training.class_weights
        if not weights:
            return functional.cross_entropy(scores, target)
        weight = torch.tensor(weights, device=scores.device)
        losses = functional.cross_entropy(scores, target, weight, reduction="none")
        shares = weight[target].flatten(1).sum(1).clamp(min=torch.finfo(torch.float32).tiny)
        return (losses.flatten(1).sum(1) / shares).mean()

    def infer(
        self,
        model: nn.Module,
        case: Prepared,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
    ) -> npt.NDArray[np.uint8]:
        """The label map of a whole case, from overlapping windows weighted by a Gaussian."""
        from monai.inferers.utils import sliding_window_inference  # which loads nibabel

        patch = self.study.data.patch
        image = torch.from_numpy(np.array(pad_to(case.image, patch)))[None].to(device)
        with evaluating(model, device, autocast_dtype):
            scores: Any = sliding_window_inference(
                image,
                patch,
                _WINDOWS_AT_ONCE.get(device.type, 4),
                lambda windows: model(windows).float(),
                overlap=self.study.training.overlap,
                mode="gaussian",
            )
            require_finite_output(scores)
            label: npt.NDArray[np.uint8] = scores[0].argmax(0).to(torch.uint8).cpu().numpy()
        return label[inner_box(case.label.shape, patch)]

    def tally(self, prediction: npt.NDArray[Any], case: Prepared) -> Tally:
        """What one label map adds to the statistics."""
        return segmentation_tally(prediction, case.label, case.spacing, len(self.classes))

    def metrics(self, tally: Tally) -> dict[str, float]:
        """dice, iou and hd95, over all foreground classes and by class."""
        return segmentation_metrics(tally, self.classes)
