"""Convolutions that must not run in bfloat16 on a processor.

oneDNN's bfloat16 gradient of a convolution's weights reads and writes outside its buffers where a
map has fewer voxels along an axis than the kernel: the gradient gets what lay there (1e32, NaN),
and the heap may be damaged. Such maps are tiny, so float32 costs nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)

Forward = Callable[[Tensor], Tensor]


def shelter_small_maps(model: nn.Module) -> None:
    """Lets every convolution of the model leave autocast where its map is below its kernel."""
    for layer in model.modules():
        if isinstance(layer, _CONVOLUTIONS):
            layer.forward = partial(_sheltered, layer.kernel_size, layer.forward)  # type: ignore[method-assign]


def _sheltered(kernel: tuple[int, ...], forward: Forward, image: Tensor) -> Tensor:
    if all(edge >= width for edge, width in zip(image.shape[2:], kernel, strict=True)):
        return forward(image)
    with torch.autocast("cpu", enabled=False):
        return forward(image.float())
