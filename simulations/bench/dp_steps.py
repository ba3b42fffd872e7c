"""One training step of a U-Net in several ways: plain, private, and as Opacus does it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from fedvox.client.training.learner import threads
from fedvox.client.training.private.clipping import ClippedSum, trainable
from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.noised import as_gradients, in_one, noisy_mean
from fedvox.client.training.private.plan import make_engine, plan_by_shape
from fedvox.client.training.private.timing import plan_by_timing
from fedvox.client.training.small_maps import shelter_small_maps
from fedvox.common.study import load_study
from fedvox.common.tasks.task import Task, task_for

CLIP_NORM = 1.0
NOISE_MULTIPLIER = 1.0

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What is trained, in which precision and layout."""

    edge: int
    batch: int
    bf16: bool = False
    channels_last: bool = True
    """As the product lays out its maps; False: torch's default."""
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)

    def __str__(self) -> str:
        layout = "" if self.channels_last else ", default layout"
        return f"{self.edge}^3 x {self.batch} {'bf16' if self.bf16 else 'fp32'}{layout}"


@dataclass
class Trainee:
    """A model with its optimizer and a batch of noise, each sample of which is a patient."""

    task: Task
    model: nn.Module
    optimizer: AdamW
    images: Tensor
    labels: Tensor
    bf16: bool

    def autocast(self) -> torch.autocast:
        """The precision of the forward pass."""
        return torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.bf16)


def trainee(setting: Setting) -> Trainee:
    """The same weights and the same batch for the same setting."""
    study = load_study(
        settings=[
            "task.classes=['background', 'lesion']",
            f"data.patch={[setting.edge] * 3}",
            f"model.channels={list(setting.channels)}",
            "model.residual_units=2",
        ]
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last_3d if setting.channels_last else torch.contiguous_format
    task = task_for(study)
    model = task.build().train().to(device).to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it
    if setting.bf16 and device.type == "cpu":
        shelter_small_maps(model)
    draws = torch.Generator().manual_seed(0)
    shape = (setting.batch, 1, *[setting.edge] * 3)
    images = torch.randn(shape, generator=draws).to(device, memory_format=layout)
    labels = (torch.rand(shape, generator=draws) > 0.8).long().to(device)
    optimizer = AdamW(model.parameters(), 1e-4)
    return Trainee(task, model, optimizer, images, labels, setting.bf16)


def plain(setting: Setting) -> Step:
    """Forward pass, backward pass, optimizer."""
    one = trainee(setting)

    def step() -> None:
        one.optimizer.zero_grad()
        with one.autocast():
            output = one.model(one.images)
        one.task.loss(output, one.labels).backward()  # type: ignore[no-untyped-call]
        one.optimizer.step()

    return step


def clipped(setting: Setting) -> Step:
    """The patients' clipped gradients, summed: neither noise nor optimizer."""
    return _clipped_sum(trainee(setting))


def private(setting: Setting) -> Step:
    """Clipped sum, noise, optimizer."""
    one = trainee(setting)
    work, noise = _clipped_sum(one), Noise(bytes(32))

    def step() -> None:
        one.optimizer.zero_grad()
        _fill(one.model, work(), noise)
        one.optimizer.step()

    return step


def _clipped_sum(one: Trainee) -> Callable[[], ClippedSum]:
    plan = plan_by_shape(one.model)
    if one.images.device.type == "cuda":  # where the default ways were not measured
        plan = plan_by_timing(one.model, one.task.loss, one.autocast, one.images, one.labels)
    engine = make_engine(plan, one.model, one.task.loss, one.autocast)
    patients = len(one.images)
    owner = torch.arange(patients, device=one.images.device)
    return partial(engine.clipped_sum, one.images, one.labels, owner, patients, CLIP_NORM)


def _fill(model: nn.Module, found: ClippedSum, noise: Noise) -> None:
    weights = trainable(model)
    summed = in_one(found.sums, weights)
    noisy_mean(summed, noise, NOISE_MULTIPLIER * CLIP_NORM, len(found.norms))
    as_gradients(weights, summed)


def opacus(setting: Setting, functorch: bool) -> Step:
    """Opacus' per-sample gradients and its optimizer."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    one = trainee(setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GradSampleModule(one.model, force_functorch=functorch)
    optimizer = DPOptimizer(
        one.optimizer,
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=CLIP_NORM,
        expected_batch_size=len(one.images),
    )

    def step() -> None:
        optimizer.zero_grad()
        with warnings.catch_warnings(), one.autocast():
            warnings.simplefilter("ignore")
            output = model(one.images)
            loss = one.task.loss(output, one.labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


WAYS: dict[str, Callable[[Setting], Step]] = {
    "plain": plain,
    "private": private,
    "clipped sum": clipped,
    "opacus hooks": partial(opacus, functorch=False),
    "opacus functorch": partial(opacus, functorch=True),
}


@dataclass
class Timed:
    """Measures a step each time it is called, but for the first, which allocates and compiles."""

    step: Step
    processor: list[float] = field(default_factory=list)
    """Seconds of processor time, which say more on a machine that others use too."""

    def __post_init__(self) -> None:
        self.step()

    def __call__(self) -> float:
        """Seconds of one step."""
        begun, processor = time.perf_counter(), time.process_time()
        self.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.processor.append(time.process_time() - processor)
        return time.perf_counter() - begun


def some_steps(way: str, steps: int, thread_count: int, **setting: Any) -> dict[str, Any]:
    """Steps in a process of its own, for the memory they take."""
    setting["channels"] = tuple(setting["channels"])
    with threads(thread_count):
        step = WAYS[way](Setting(**setting))
        for _ in range(steps):
            step()
    return {"steps": steps}
