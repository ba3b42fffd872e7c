"""Instance norm that need not keep its input where a PReLU comes behind it.

The layer behind the PReLU keeps the PReLU's result in any case, and with it the norm's result and
so the standardised values are known, but for rounding: a quarter of what a U-Net would keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_MOST_SHIFT = 16.0
"""By how many of its weights a channel may be moved and still be known from where it went."""
_LEAST_WEIGHT = 2.0**-20


@dataclass
class Kept:
    """What a norm's backward pass will start from."""

    image: Tensor
    """The norm's input; or the PReLU of its result."""
    invertible: bool
    slope: float = 0.0
    """Of the PReLU, if it is that."""

    def is_behind(self, bent: Tensor, slope: float) -> None:
        """Told that `bent` is the PReLU of the norm's result, and is kept by others anyway."""
        if self.invertible:
            self.image, self.slope = bent, slope


def instance_norm(image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """With `weight` and `bias` [samples * C], one copy of a layer's own for each sample."""
    result: Tensor = _InstanceNorm.apply(image, weight, bias, eps)  # type: ignore[no-untyped-call]
    return result


def kept_for(image: Tensor) -> Kept | None:
    """What is kept for the backward pass of a tensor that comes straight from `instance_norm`."""
    kept: Kept | None = getattr(image.grad_fn, "kept", None)
    return kept


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """As torch does it: batch norm of the batch folded into the channels."""
        folded = _folded(image)
        normed, *ctx.seen = torch.native_batch_norm(
            folded, weight, bias, None, None, True, 0.0, eps
        )
        least = (bias.abs() / _MOST_SHIFT).clamp(min=_LEAST_WEIGHT)
        ctx.kept, ctx.eps = Kept(folded, bool((weight.abs() >= least).all())), eps
        ctx.save_for_backward(weight, bias)
        # Not as a view: what comes behind may work in its place.
        result: Tensor = torch.ops.aten._unsafe_view(normed, image.shape)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Torch's own, which takes the result for the input where that was not kept."""
        weight, bias = ctx.saved_tensors
        (mean, scale), kept = ctx.seen, ctx.kept
        del ctx.kept
        image = kept.image
        if kept.slope:
            # In its own room: all that followed are done with it, or would find it overwritten.
            image = functional.leaky_relu(_folded(image), 1.0 / kept.slope, inplace=True)
            # Standard are (input - mean) * scale as (result - bias) / weight; and torch will
            # multiply the gradient by what it takes for scale times what it takes for weight.
            weight, mean, scale = weight * weight * scale, bias, 1.0 / weight
        of_image, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            _folded(gradients[0]),
            image,
            weight,
            None,
            None,
            mean,
            scale,
            True,
            ctx.eps,
            (True, True, True),
        )
        return of_image.view(gradients[0].shape), of_weight, of_bias, None


def _folded(image: Tensor) -> Tensor:
    return image.reshape(1, -1, *image.shape[2:])
