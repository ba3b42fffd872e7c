"""Which engine works out the patients' gradients, and which way it goes at each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import Autocast, GradientEngine, Loss
from fedvox.client.training.private.contraction import WAYS, Kernel, Way
from fedvox.client.training.private.known import (
    TRANSPOSED,
    contracted,
    kernel_of,
    owns_trainable,
    unknown_layers,
)
from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.plain import LoopEngine, VmapEngine
from fedvox.common.errors import InputError, nearest

EngineName = Literal["layers", "vmap", "loop"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


@dataclass(frozen=True)
class Plan:
    """A choice that can be written down and followed again, to the bit."""

    engine: EngineName = "layers"
    ways: Mapping[str, Way] = field(default_factory=dict)
    """By name of the layer, for the engine 'layers' alone; a layer that is not named goes the
    default way of the shapes it meets."""

    def as_dict(self) -> dict[str, Any]:
        """{"engine": "layers", "layers": {"model.0.conv": "grouped"}}"""
        return {"engine": self.engine, "layers": dict(self.ways)}


@dataclass(frozen=True)
class Traced:
    """What reached a convolution or linear layer, for one sample."""

    kernel: Kernel
    small: tuple[int, ...]
    """[O, *map]"""
    large: tuple[int, ...]
    """[I, *map]"""
    dtype: torch.dtype
    """Of the layer's output."""


def plan_from(record: Mapping[str, Any]) -> Plan:
    """The plan that `Plan.as_dict` wrote down."""
    engine, ways = record.get("engine", "layers"), dict(record.get("layers", {}))
    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r} is none; {nearest(str(engine), ENGINES)}")
    for layer, way in ways.items():
        if way not in WAYS:
            raise InputError(f"layers: {way!r} of {layer} is none; {nearest(str(way), WAYS)}")
    return Plan(cast(EngineName, engine), cast(dict[str, Way], ways))


def plan_by_shape(model: nn.Module) -> Plan:
    """The same plan for the same network on any machine: ways by the shapes that layers meet.

    Nothing is run for it: it would be done before the first step, in more room than a step takes.
    """
    return Plan("loop" if any(unknown_layers(model)) else "layers")


def make_engine(plan: Plan, model: nn.Module, loss: Loss, autocast: Autocast) -> GradientEngine:
    """The engine of a plan; InputError where the plan does not fit the network."""
    if plan.engine == "loop":
        return LoopEngine(model, loss, autocast)
    if plan.engine == "vmap":
        return VmapEngine(model, loss, autocast)
    for name, module in unknown_layers(model):
        raise InputError(
            f"engine: 'layers' cannot do layer {name} ({type(module).__name__}); use 'loop'"
        )
    known = dict(model.named_modules())
    for name in plan.ways:
        if name not in known:
            raise InputError(f"layers: {name} is no layer; {nearest(name, known)}")
    return LayersEngine(model, loss, autocast, plan.ways)


def trace(model: nn.Module, image: Tensor, autocast: Autocast = nullcontext) -> dict[str, Traced]:
    """What reaches the layers with a weight when `image` [1, C, *P] passes the network."""
    found: dict[str, Traced] = {}
    with _at_rest(model), _hooked(model, partial(_note, found)), torch.no_grad(), autocast():
        model(image)
    return found


Note = Callable[[str, nn.Module, Tensor, Tensor], None]


def _note(
    found: dict[str, Traced], name: str, layer: nn.Module, image: Tensor, out: Tensor
) -> None:
    shapes = [tuple(one.shape[1:]) for one in (image, out)]
    if isinstance(layer, nn.Linear):
        shapes = [(shape[-1], *shape[:-1]) for shape in shapes]
    small, large = shapes if isinstance(layer, TRANSPOSED) else reversed(shapes)
    found[name] = Traced(kernel_of(layer), small, large, out.dtype)


@contextmanager
def _hooked(model: nn.Module, note: Note) -> Iterator[None]:
    def hook(name: str, layer: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        note(name, layer, args[0], out)

    layers = [one for one in model.named_modules() if owns_trainable(one[1]) and contracted(one[1])]
    handles = [layer.register_forward_hook(partial(hook, name)) for name, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Without dropout, whose draws are counted."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
