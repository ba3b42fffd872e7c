"""Patients of noise, and their clipped sum by brute force: one patient after the other."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import ClippedSum, GradientEngine
from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.plain import LoopEngine, VmapEngine
from fedvox.common.study import load_study
from fedvox.common.tasks.task import task_for

CLIP = 0.5
OWNER = torch.tensor([0, 2, 1, 0, 2, 2])
"""Two, one and three samples, not in order."""
ENGINES = [LayersEngine, LoopEngine, VmapEngine]
Engine = type[LayersEngine] | type[LoopEngine] | type[VmapEngine]

SEGMENTATION = ("unet", "segresnet", "dynunet")
CLASSIFICATION = ("densenet121", "resnet18", "resnet50", "seresnet50")


@dataclass
class Case:
    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    images: Tensor
    labels: Tensor

    def by(self, engine: Engine, owner: Tensor = OWNER, clip_norm: float = CLIP) -> ClippedSum:
        worker: GradientEngine = engine(self.model, self.loss, nullcontext)
        return worker.clipped_sum(self.images, self.labels, owner, int(owner.max()) + 1, clip_norm)

    def by_brute_force(
        self, owner: Tensor = OWNER, clip_norm: float = CLIP
    ) -> tuple[dict[str, Tensor], list[float]]:
        weights = {name: one for name, one in self.model.named_parameters() if one.requires_grad}
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        norms = []
        for patient in range(int(owner.max()) + 1):
            own = torch.nonzero(owner == patient)[:, 0].tolist()
            each = [
                self.loss(self.model(self.images[n : n + 1]), self.labels[n : n + 1]) for n in own
            ]
            (sum(each) / len(own)).backward()
            found = [weight.grad for weight in weights.values()]
            norm = math.sqrt(
                sum(float(one.double().square().sum()) for one in found if one is not None)
            )
            for name, one in zip(weights, found, strict=True):
                if one is not None:
                    sums[name] += one * min(1.0, clip_norm / norm)
            norms.append(norm)
            self.model.zero_grad()
        return sums, norms


def product(name: str, norm: str, dims: int = 2, *settings: str) -> Case:
    kind = "segmentation" if name in SEGMENTATION else "classification"
    edges = [{2: 32, 3: 16}[dims] if kind == "classification" else 16] * dims
    study = load_study(
        settings=[
            f"task.kind={kind}",
            "task.classes=['none', 'one', 'two']",
            f"data.dims={dims}",
            f"data.patch={edges}",
            f"model.name={name}",
            f"model.channels={[4, 8, 16] if kind == 'segmentation' else [8]}",
            f"model.norm={norm}",
            "training.class_weights=[1.0, 2.0, 3.0]",
            *settings,
        ]
    )
    task = task_for(study)
    layout = torch.channels_last_3d if dims == 3 else torch.channels_last
    model = task.build().train().to(memory_format=layout)
    images = torch.randn(len(OWNER), 1, *edges).to(memory_format=layout)
    size = (len(OWNER), 1, *edges) if kind == "segmentation" else (len(OWNER),)
    return Case(model, task.loss, images, torch.randint(0, 3, size))


def small(model: nn.Module, *shape: int) -> Case:
    """A case whose loss needs no particular output."""
    images = torch.randn(len(OWNER), *shape)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (output.flatten(1).sum(1) - target).square().mean()

    return Case(model, loss, images, torch.randn(len(OWNER)))


def require_same(
    found: ClippedSum, expected: tuple[dict[str, Tensor], list[float]], tolerance: float = 1e-4
) -> None:
    sums, norms = expected
    assert found.sums.keys() == sums.keys()
    scale = max(float(one.abs().max()) for one in sums.values())
    for name, one in sums.items():
        torch.testing.assert_close(found.sums[name], one.float(), rtol=0.0, atol=tolerance * scale)
    torch.testing.assert_close(found.norms, torch.tensor(norms), rtol=tolerance, atol=0.0)
