"""Instance norm that needs nothing of its input once its result is known.

Its backward pass is written with the standardised values, which are its result. And where the
layer behind keeps a PReLU of them, they need not be kept at all: the PReLU is turned back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Standard:
    """Standardised values that a backward pass will ask for."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._bend = 1.0

    def is_behind(self, bent: Tensor, slope: float) -> None:
        """Keeps their PReLU instead, which is kept by others anyway."""
        self._values, self._bend = bent, 1.0 / slope

    def values(self) -> Tensor:
        """As they were, but for rounding."""
        if self._bend == 1.0:
            return self._values
        return functional.leaky_relu(self._values, self._bend)


def instance_norm(image: Tensor, eps: float) -> Tensor:
    """Without weight and bias."""
    if image.device.type != "cpu":
        return functional.instance_norm(image, eps=eps)
    result: Tensor = _InstanceNorm.apply(image, eps)  # type: ignore[no-untyped-call]
    return result


def standard_of(image: Tensor) -> Standard | None:
    """Of a tensor that comes straight from `instance_norm`."""
    standard: Standard | None = getattr(image.grad_fn, "standard", None)
    return standard


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, eps: float) -> Tensor:
        """As torch does it: batch norm of the batch folded into the channels."""
        folded = _folded(image)
        values, _, ctx.scale = torch.native_batch_norm(
            folded, None, None, None, None, True, 0.0, eps
        )
        ctx.standard = Standard(values.view(image.shape))
        return values.view(image.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """That of values which were standard already, times what standardised them."""
        values, scale = ctx.standard.values(), ctx.scale
        del ctx.standard
        gradient, _, _ = torch.ops.aten.native_batch_norm_backward(
            _folded(gradients[0]),
            _folded(values),
            scale,
            None,
            None,
            torch.zeros_like(scale),
            torch.ones_like(scale),
            True,
            0.0,
            (True, False, False),
        )
        return gradient.view(values.shape), None


def _folded(image: Tensor) -> Tensor:
    return image.reshape(1, -1, *image.shape[2:])
