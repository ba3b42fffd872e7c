"""What a network and a loss must be before any patient's data is spent on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from fedvox.client.training.private.clipping import Loss, sample_losses, trainable
from fedvox.common.errors import FedvoxError, StudyError

_LOSS_TOLERANCE = 1e-3


def require_private(model: nn.Module, loss: Loss, images: Tensor, labels: Tensor) -> None:
    """Raises StudyError where patients would mix, or data would be kept besides the weights.

    `images` are two or more samples of noise: nobody's data is needed to find out.
    """
    if len(images) < 2:
        raise FedvoxError("require_private: needs two samples to see whether they mix")
    if not trainable(model):
        raise StudyError("model.freeze: leaves no layer to train")
    with _restored(model):
        _require_layers(model)
        _require_still_buffers(model, images)
        _require_apart(model, loss, images, labels)
        _require_mean(model, loss, images, labels)


def _require_layers(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise StudyError(
                f"model: layer {name} is {type(module).__name__}, which mixes patients; use "
                "model.norm = 'instance' or 'group'"
            )
        if isinstance(module, _InstanceNorm) and module.track_running_stats:
            raise StudyError(
                f"model: layer {name} keeps running statistics of the data, which would leave the "
                "site without noise; use track_running_stats = False"
            )
    from opacus.validators import ModuleValidator

    errors = ModuleValidator.validate(model, strict=False)
    if errors:
        raise StudyError(f"model: cannot be trained privately: {errors[0]}")


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Runs the block in training mode; mode and buffers are as before afterwards."""
    training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    try:
        yield
    finally:
        model.train(training)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])


def _require_still_buffers(model: nn.Module, images: Tensor) -> None:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        model(images)
    for name, buffer in model.named_buffers():
        if not torch.equal(buffer, before[name]):
            raise StudyError(
                f"model: buffer {name} is updated from the data and would leave the site without "
                "noise; use a layer without running statistics"
            )


def _require_apart(model: nn.Module, loss: Loss, images: Tensor, labels: Tensor) -> None:
    """The loss of the first sample must not know the others."""
    images = images.detach().clone().requires_grad_()
    outputs: list[tuple[str, Tensor]] = []
    with _listening(model, outputs):
        output = model(images)
    if not _mixes(loss(output[:1], labels[:1]), images):
        return
    guilty = (name for name, one in outputs if _mixes(one[:1].float().sum(), images))
    raise StudyError(
        f"model: layer {next(guilty, '(between two layers)')} mixes patients: what it says of one "
        "depends on another in the batch; use a layer that sees each sample by itself"
    )


@contextmanager
def _listening(model: nn.Module, outputs: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Notes what the innermost layers give, in the order in which they are run."""

    def hook(name: str, _layer: nn.Module, _args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad and output.ndim:
            outputs.append((name, output))

    layers = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(partial(hook, name)) for name, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mixes(of_first: Tensor, images: Tensor) -> bool:
    (gradient,) = torch.autograd.grad(of_first, images, retain_graph=True, allow_unused=True)
    return gradient is not None and bool((gradient[1:] != 0).any())


def _require_mean(model: nn.Module, loss: Loss, images: Tensor, labels: Tensor) -> None:
    """The loss of a batch must be the mean of the losses of its samples."""
    with torch.no_grad():
        output = model(images)
        together, apart = loss(output, labels), sample_losses(loss, output, labels).mean()
    if not torch.allclose(together, apart, rtol=_LOSS_TOLERANCE, atol=_LOSS_TOLERANCE):
        raise StudyError(
            f"loss: mixes patients: {float(together):.4f} over a batch, {float(apart):.4f} as the "
            "mean over its samples; use a loss that is computed for each image and then averaged"
        )
