"""Classification: one class for a whole volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from fedvox.common.study.schema import Study
from fedvox.common.tasks.augment import augment
from fedvox.common.tasks.evaluation import evaluating, require_finite_output
from fedvox.common.tasks.metrics import classification_metrics, classification_tally
from fedvox.common.tasks.networks import build_network
from fedvox.common.tasks.preprocess import prepare
from fedvox.common.tasks.task import Prepared, Tally
from fedvox.common.volume import Volume


@dataclass(frozen=True)
class Classification:
    """A class for every volume, such as normal, pneumonia or tuberculosis."""

    study: Study
    kind: str = "classification"
    headline: str = "balanced_accuracy"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index."""
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
        """The whole volume, augmented, and its class."""
        image = np.array(case.image)
        image, _ = augment(self.study.training.augment, image, None, case.spacing, rng)
        return image, case.label.astype(np.int64)

    def anything(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """Classes of so many volumes as chance would have them."""
        return torch.randint(len(self.classes), (count,), generator=rng)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, each case weighted by its class.

        The divisor is the batch size, not the sum of the weights in it: what one patient adds must
        not depend on who else is in the batch.
        """
        weights = self.study.training.class_weights
        losses = functional.cross_entropy(
            output.float(),
            target,
            weight=torch.tensor(weights, device=output.device) if weights else None,
            reduction="none",
        )
        return losses.mean()

    def infer(
        self,
        model: nn.Module,
        case: Prepared,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
    ) -> npt.NDArray[np.float32]:
        """Probabilities of the classes."""
        image = torch.from_numpy(np.array(case.image))[None].to(device)
        with evaluating(model, device, autocast_dtype):
            scores = model(image).float()
            require_finite_output(scores)
            probabilities: npt.NDArray[np.float32] = scores[0].softmax(0).cpu().numpy()
        return probabilities

    def tally(self, prediction: npt.NDArray[Any], case: Prepared) -> Tally:
        """What one prediction adds to the statistics."""
        return classification_tally(prediction, int(case.label))

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Accuracy, balanced accuracy, AUROC, sensitivity and specificity."""
        return classification_metrics(tally, self.classes)
