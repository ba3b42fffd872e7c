"""PReLU with one slope, and the gradient of that slope for each sample.

torch's own backward pass writes the slope's gradient voxel by voxel, in a loop that is not
vectorised; on a processor that takes as long as a convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fedvox.client.training.private.normed import kept_for

_LEAST_SLOPE = 2.0**-6
"""Below it too little of an image's negative part is left in the result to tell it from there."""


def prelu(image: Tensor, slope: Tensor, slopes: Tensor) -> Tensor:
    """PReLU by `slope`; `slopes` [samples] are copies of it that receive the gradients."""
    result: Tensor = _PReLU.apply(image, slope, slopes)  # type: ignore[no-untyped-call]
    kept = kept_for(image)
    if kept is not None and _tells_its_image(slope):
        kept.is_behind(result.detach(), float(slope))
    return result


def _tells_its_image(slope: Tensor) -> bool:
    return float(slope) >= _LEAST_SLOPE


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, slope: Tensor, slopes: Tensor) -> Tensor:
        """As torch does it."""
        result = functional.prelu(image, slope)
        # The layer behind keeps the result in any case: from it the image is known as well.
        ctx.of_result = _tells_its_image(slope)
        ctx.save_for_backward(result if ctx.of_result else image, slope)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:
        """Where the image is negative the slope counts, elsewhere one."""
        (gradient,) = gradients
        kept, slope = ctx.saved_tensors
        kept = kept.to(gradient.dtype)
        if gradient.stride() != kept.stride():
            # Element by element, two layouts cost more than a copy.
            gradient = torch.empty_like(kept).copy_(gradient)
        # First, so that its products are freed before the larger result is made.
        of_slopes = _of_slopes(kept, gradient) if ctx.needs_input_grad[2] else None
        if of_slopes is not None and ctx.of_result:
            of_slopes /= slope
        of_image = torch.ops.aten.leaky_relu_backward(gradient, kept, float(slope), ctx.of_result)
        return of_image, None, of_slopes


def _of_slopes(kept: Tensor, gradient: Tensor) -> Tensor:
    """[samples] sum over the voxels of the gradient times what of the image is negative."""
    products = kept.clamp(max=0.0).mul_(gradient)
    return products.sum(tuple(range(1, products.ndim)), dtype=torch.float32)
