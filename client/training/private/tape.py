"""One forward and one backward pass that leave what every patient gives to each parameter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import Materialised, Share
from fedvox.client.training.private.contraction import Maps, Way, default_way, share_of
from fedvox.client.training.private.known import (
    EXPANDED,
    STANDARDISED,
    TRANSPOSED,
    contracted,
    kernel_of,
    owns_trainable,
)
from fedvox.client.training.private.owners import Owners
from fedvox.client.training.private.standardised import through_standardising
from fedvox.common.errors import FedvoxError


@dataclass
class Tape:
    """What the layers of a model passed on, worked off as the backward pass reaches them."""

    ways: Mapping[str, Way]
    owners: Owners
    shares: dict[str, Share] = field(default_factory=dict)
    """By name of the parameter."""
    uses: Counter[str] = field(default_factory=Counter)
    """How often the forward pass came by each parameter."""
    copies: list[tuple[str, Tensor]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples in the batch."""
        return len(self.owners.owner)

    def add(self, name: str, share: Share) -> None:
        """One use of a parameter; the gradients of all its uses are summed."""
        before = self.shares.get(name)
        if before is None:
            self.shares[name] = share
            return
        if not isinstance(before, Materialised) or not isinstance(share, Materialised):
            raise FedvoxError(f"{name}: is used again, but has no gradients that could be added to")
        before.gradients += share.gradients

    def gather(self) -> dict[str, Share]:
        """The shares of all parameters, after the backward pass."""
        for name, copies in self.copies:
            if copies.grad is not None:
                self.add(name, Materialised(self.owners.totals(copies.grad)))
        self.copies.clear()
        return self.shares

    def copy(self, layer: _Layer, own_name: str) -> Tensor | None:
        """[samples, *shape] one copy of a layer's parameter for each sample."""
        weight = layer.module.get_parameter(own_name) if own_name in layer.owned else None
        if weight is None:
            return None
        copies = weight.detach().expand(self.samples, *weight.shape).contiguous()
        if own_name in layer.trained:
            self.copies.append((layer.trained[own_name], copies.requires_grad_()))
        return copies


@dataclass(frozen=True)
class _Layer:
    name: str
    module: nn.Module
    trained: Mapping[str, str]
    """Name within the layer -> name within the model, of the parameters that are trained."""

    @property
    def owned(self) -> set[str]:
        return {name for name, _ in self.module.named_parameters(recurse=False)}


@contextmanager
def recording(model: nn.Module, tape: Tape) -> Iterator[None]:
    """Has the layers report to the tape; autograd itself computes no gradient of a weight.

    The gradients of weights are computed once, by patient, not once for all and once by patient.
    """
    layers = list(_layers(model))
    anchor = torch.zeros((), device=tape.owners.owner.device, requires_grad=True)
    with ExitStack() as stack:
        stack.enter_context(_frozen(model))
        for layer in layers:
            if contracted(layer.module):
                hook = partial(_passed, tape, layer, anchor)
                stack.callback(layer.module.register_forward_hook(hook).remove)
            else:
                stack.enter_context(_expanded(tape, layer))
        yield


def _layers(model: nn.Module) -> Iterator[_Layer]:
    names = {id(weight): name for name, weight in model.named_parameters()}
    for name, module in model.named_modules():
        if owns_trainable(module):
            own = module.named_parameters(recurse=False)
            trained = {key: names[id(weight)] for key, weight in own if weight.requires_grad}
            yield _Layer(name, module, trained)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


@contextmanager
def _expanded(tape: Tape, layer: _Layer) -> Iterator[None]:
    """Lets a layer run with a copy of its parameters for each sample."""
    module, run = layer.module, EXPANDED[type(layer.module)]

    def forward(image: Tensor) -> Tensor:
        _require_batch(tape, layer, image)
        return run(module, image, partial(tape.copy, layer))

    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _require_batch(tape: Tape, layer: _Layer, image: Tensor) -> None:
    if image.shape[0] != tape.samples:
        raise FedvoxError(
            f"{layer.name}: sees {image.shape[0]} samples in a batch of {tape.samples}; "
            "its patients cannot be told apart, use the engine 'loop'"
        )


@dataclass
class _Passage:
    """An input of a layer, kept until the gradient of the output comes back."""

    image: Tensor | None
    version: int

    def take(self, layer: str) -> Tensor:
        """The input, which is let go: what is no longer needed is freed as the pass goes back."""
        image, self.image = self.image, None
        if image is None:
            raise FedvoxError(f"{layer}: the backward pass came by twice")
        if image._version != self.version:
            raise FedvoxError(f"{layer}: its input was overwritten; use the engine 'loop'")
        return image


def _passed(
    tape: Tape, layer: _Layer, anchor: Tensor, module: nn.Module, args: Any, output: Tensor
) -> Tensor:
    """Forward hook: remembers the input and waits for the gradient of the output."""
    image: Tensor = args[0].detach()
    _require_batch(tape, layer, image)
    tape.uses.update(layer.trained.values())
    passage = _Passage(image, image._version)
    started: Tensor = output
    if not output.requires_grad:
        started = _Start.apply(output, anchor)  # type: ignore[no-untyped-call]
    started.register_hook(partial(_came_back, tape, layer, passage))  # type: ignore[no-untyped-call]
    return started


class _Start(torch.autograd.Function):
    """Where the backward pass ends: the output of a layer that nothing trained lies before."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        """The output itself, now part of the graph."""
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        """Goes no further."""
        return None, None


@torch.no_grad()
def _came_back(tape: Tape, layer: _Layer, passage: _Passage, gradient: Tensor) -> None:
    """Tensor hook: turns input and gradient of the output into shares."""
    image = passage.take(layer.name)
    if "bias" in layer.trained:
        tape.add(layer.trained["bias"], Materialised(_bias_gradients(tape, layer, gradient)))
    if "weight" not in layer.trained:
        return
    name = layer.trained["weight"]
    maps, kernel = _maps(tape, layer.module, image, gradient), kernel_of(layer.module)
    way = tape.ways.get(layer.name) or default_way(kernel, maps.small.shape[2:])
    if way == "ghost" and tape.uses[name] > 1:
        way = "unfold"  # gradients of several uses can be added, their norms cannot
    share = share_of(maps, kernel, way)
    if isinstance(layer.module, STANDARDISED):
        share = through_standardising(share, layer.module.weight)
    tape.add(name, share)


def _bias_gradients(tape: Tape, layer: _Layer, gradient: Tensor) -> Tensor:
    if isinstance(layer.module, nn.Linear):
        return tape.owners.totals(gradient.reshape(tape.samples, -1, gradient.shape[-1]).sum(1))
    return tape.owners.totals(gradient.flatten(2).sum(2, dtype=torch.float32))


def _maps(tape: Tape, module: nn.Module, image: Tensor, gradient: Tensor) -> Maps:
    if isinstance(module, nn.Linear):
        image = image.reshape(tape.samples, -1, image.shape[-1]).transpose(1, 2)
        gradient = gradient.reshape(tape.samples, -1, gradient.shape[-1]).transpose(1, 2)
    small, large = (image, gradient) if isinstance(module, TRANSPOSED) else (gradient, image)
    padded = tape.owners.padded
    return Maps(padded(small), padded(large.to(gradient.dtype)), tape.owners.patients)
