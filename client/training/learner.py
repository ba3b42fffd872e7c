"""One model instance, kept warm by a worker, that trains and evaluates for any site in turn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from fedvox.client.store import Store
from fedvox.client.training.batches import Batch
from fedvox.client.training.device import choose_device
from fedvox.client.training.optimizer import LocalOptimizer, on_cpu
from fedvox.client.training.schedule import Stretch, rates
from fedvox.client.training.small_maps import shelter_small_maps
from fedvox.common.arrays import Arrays, delta, require_finite
from fedvox.common.errors import NotFiniteError, Refusal, SiteError
from fedvox.common.privacy.terms import patients_per_step
from fedvox.common.study import Study
from fedvox.common.tasks.seeding import seed_dropout
from fedvox.common.tasks.task import Prepared, Tally, Task, task_for

if TYPE_CHECKING:
    from fedvox.client.training.private.clipping import GradientEngine

_TRIED = 16
"""Patients in the batch on which ways to their gradients are tried, at most."""


@dataclass(frozen=True)
class Pull:
    """What bends the local steps: a proximal term, a correction of the gradients, a limit."""

    mu: float = 0.0
    """Strength of the pull towards `anchor`."""
    anchor: Arrays = field(default_factory=dict)
    correction: Arrays = field(default_factory=dict)
    """Added to every gradient (scaffold: c - c_site)."""
    grad_clip: float = 0.0
    """Largest norm of a step's gradient, pulled and corrected; 0: no limit."""


@dataclass(frozen=True)
class Trained:
    """What a stretch of training gave."""

    weights: Arrays
    update: Arrays
    """weights - the weights it started from."""
    moments: Arrays
    """State of the optimizer, where the study keeps it."""
    loss: float
    rate_sum: float
    """Learning rates of all steps, summed."""
    seconds: float


class Learner:
    """A model on a device. Not for two threads at once."""

    def __init__(self, study: Study) -> None:
        # A new thread takes over torch's number of threads only when something asks for it; until
        # then a convolution uses every core, and sums in another order.
        torch.get_num_threads()
        self.study = study
        self.task: Task = task_for(study)
        self.device = choose_device(study)
        self.model = self.task.build().to(self.device.torch_device)
        self.model = self.model.to(memory_format=self.device.layout)  # type: ignore[call-overload]  # torch's stubs lack it
        if self.device.torch_device.type == "cpu" and self.device.autocast is not None:
            shelter_small_maps(self.model)
        self._tensors = dict(self.model.state_dict(keep_vars=True))

    @cached_property
    def clipping(self) -> GradientEngine:
        """Works out the clipped gradients of patients, in the way that privacy.engine says.

        StudyError where the network or the loss would mix patients.
        """
        from fedvox.client.training.private.plan import make_engine, plan_by_shape
        from fedvox.client.training.private.timing import plan_by_timing
        from fedvox.client.training.private.validation import require_private

        loss, wish = self.task.loss, self.study.privacy.engine
        images, labels = self._anything(2)
        require_private(self.model, loss, images, labels)
        if wish == "measured" or (wish == "auto" and images.is_cuda):
            batch = self._anything(max(2, min(_TRIED, patients_per_step(self.study))))
            plan = plan_by_timing(self.model, loss, self.autocast, *batch)
        else:
            plan = plan_by_shape(self.model)
        return make_engine(plan, self.model, loss, self.autocast)

    def _anything(self, count: int) -> tuple[Tensor, Tensor]:
        """Images of noise with labels, as many as patients."""
        data, device = self.study.data, self.device.torch_device
        noise = torch.Generator().manual_seed(0)
        images = torch.randn(count, data.channels, *data.patch, generator=noise).to(device)
        labels = self.task.anything(count, noise).to(device)
        return images.to(memory_format=self.device.layout), labels

    def train(
        self,
        weights: Arrays,
        gradients: Iterable[Tensor],
        stretch: Stretch,
        moments: Arrays | None = None,
        pull: Pull | None = None,
        seed: int = 0,
    ) -> Trained:
        """Takes the steps of a stretch from `weights`; SiteError where numbers are not finite.

        `gradients` fills the gradients of the parameters for each step, and gives its loss.
        """
        begun = time.perf_counter()
        training = self.study.training
        self.load(weights)
        self.model.train()
        seed_dropout(self.model, seed)
        optimizer = LocalOptimizer(self.model, training, moments or {})
        bend = self._bend(pull or Pull())
        losses: list[Tensor] = []
        schedule = rates(training, stretch)
        for loss, rate in zip(gradients, schedule, strict=True):
            bend()
            optimizer.step(rate)
            optimizer.clear()
            losses.append(loss)
        mean_loss = float(torch.stack(losses).mean())
        after = self.weights()
        update = delta(after, weights)
        _require_finite(mean_loss, update)
        seconds = time.perf_counter() - begun
        keep = training.optimizer_state == "keep"
        kept = optimizer.moments() if keep else {}
        return Trained(after, update, kept, mean_loss, sum(schedule), seconds)

    def gradients(self, batches: Iterable[Batch]) -> Iterator[Tensor]:
        """Plain gradients: the mean over each batch."""
        for image, label in batches:
            with self.autocast():
                output = self.model(image)
            loss = self.task.loss(output, label)
            loss.backward()  # type: ignore[no-untyped-call]
            yield loss.detach()

    def evaluate(self, weights: Arrays, store: Store, keys: Iterable[str]) -> Tally:
        """The summed tally over the cases."""
        self.load(weights)
        total: Tally = {}
        for key in keys:
            case = store.get(key)
            tally = self.task.tally(self.infer(case), case)
            total = {name: total.get(name, np.float64(0)) + tally[name] for name in tally}
        return total

    def infer(self, case: Prepared) -> np.ndarray:
        """The task's prediction for one prepared case, with the weights last loaded."""
        self.model.eval()
        device = self.device
        return self.task.infer(self.model, case, device.torch_device, device.autocast)

    def load(self, weights: Arrays) -> None:
        """Copies the weights into the model; SiteError where names or shapes differ."""
        if weights.keys() != self._tensors.keys():
            raise SiteError(Refusal.WEIGHTS, "the names of the tensors are not the model's")
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                if weights[name].shape != tuple(tensor.shape):
                    raise SiteError(Refusal.WEIGHTS, f"{name} has another shape than the model's")
                tensor.copy_(torch.tensor(weights[name]))

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of the model's weights."""
        return {name: on_cpu(tensor) for name, tensor in self._tensors.items()}

    def norm_names(self) -> frozenset[str]:
        """Names of the tensors that belong to normalisation layers."""
        return frozenset(
            f"{name}.{tensor}" if name else tensor
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.GroupNorm | nn.LayerNorm | _InstanceNorm)
            for tensor in layer.state_dict()
        )

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the forward pass."""
        device = self.device
        return torch.autocast(
            device.torch_device.type, device.autocast, enabled=device.autocast is not None
        )

    def _bend(self, pull: Pull) -> _Bend:
        return _Bend(self.model, pull, self.device.torch_device)


class _Bend:
    """Applies a Pull to the gradients of a model after each backward pass."""

    def __init__(self, model: nn.Module, pull: Pull, device: torch.device) -> None:
        def tensors(arrays: Arrays) -> Mapping[str, Tensor]:
            return {name: torch.tensor(array, device=device) for name, array in arrays.items()}

        self._mu = pull.mu
        self._grad_clip = pull.grad_clip
        self._parameters = dict(model.named_parameters())
        self._anchor = tensors(pull.anchor) if pull.mu else {}
        self._correction = tensors(pull.correction)

    @torch.no_grad()
    def __call__(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            if name in self._anchor:
                parameter.grad.add_(parameter - self._anchor[name], alpha=self._mu)
            if name in self._correction:
                parameter.grad.add_(self._correction[name])
        if self._grad_clip:
            nn.utils.clip_grad_norm_(self._parameters.values(), self._grad_clip)


def _require_finite(loss: float, update: Arrays) -> None:
    if not np.isfinite(loss):
        raise SiteError(Refusal.NOT_FINITE, f"the loss became {loss}")
    try:
        require_finite(update, "update")
    except NotFiniteError as error:
        raise SiteError(Refusal.NOT_FINITE, str(error)) from None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs the block with so many processor threads for each operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
