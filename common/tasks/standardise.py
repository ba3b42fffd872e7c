"""Weight standardisation (Qiao et al. 2019): each filter at mean zero and deviation one.

Known to help where batch norm may not be used, and under privacy (De et al. 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOOR = 1e-10


class Standardised2d(nn.Conv2d):
    def forward(self, image: Tensor) -> Tensor:
        """The convolution by the standardised weight."""
        output: Tensor = self._conv_forward(image, standardised(self.weight), self.bias)
        return output


class Standardised3d(nn.Conv3d):
    def forward(self, image: Tensor) -> Tensor:
        """The convolution by the standardised weight."""
        output: Tensor = self._conv_forward(image, standardised(self.weight), self.bias)
        return output


def standardise(network: nn.Module) -> None:
    """Lets every convolution of the network standardise its weight; names and shapes stay."""
    for layer in network.modules():
        if type(layer) is nn.Conv3d:
            layer.__class__ = Standardised3d
        elif type(layer) is nn.Conv2d:
            layer.__class__ = Standardised2d


def standardised(weight: Tensor) -> Tensor:
    axes = tuple(range(1, weight.ndim))
    variance, mean = torch.var_mean(weight, axes, unbiased=False, keepdim=True)
    size = weight[0].numel()
    # Divided by the root of the filter's size as well, so that the output keeps its scale.
    return (weight - mean) * torch.rsqrt(variance * size + FLOOR)
