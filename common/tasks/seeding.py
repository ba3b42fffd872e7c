"""Randomness inside torch that no other thread can touch, nor be touched by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.rand,
        torch.randn,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        nn.init.normal_,
        nn.init.trunc_normal_,
        nn.init.uniform_,
        nn.init.xavier_normal_,
        nn.init.xavier_uniform_,
    }
)


class OwnGenerator(TorchFunctionMode):
    """Within it, layers of this thread are initialised from `seed`, not from torch's global state.

    Saving and restoring the global state would not do: other threads could draw in between.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Hands this mode's generator to whatever draws."""
        kwargs = dict(kwargs or {})
        if func in _DRAWS:
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)


class Dropout(nn.Module):
    """Dropout whose masks follow from a seed, whatever other threads draw meanwhile."""

    def __init__(self, probability: float, whole_channels: bool) -> None:
        super().__init__()
        self.probability = probability
        self.whole_channels = whole_channels
        self._seed = (0, 0)
        self._calls = 0

    def restart(self, seed: int, index: int) -> None:
        """From here on the masks are those of (seed, index)."""
        self._seed = (seed, index)
        self._calls = 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The features with some set to zero, the rest scaled up."""
        if not self.training or not self.probability:
            return features
        words = np.random.SeedSequence((*self._seed, self._calls)).generate_state(1, np.uint64)
        self._calls += 1
        generator = torch.Generator(features.device).manual_seed(int(words[0] >> np.uint64(1)))
        shape = list(features.shape)
        if self.whole_channels:
            shape[2:] = [1] * (len(shape) - 2)
        kept = 1.0 - self.probability
        draws = torch.rand(shape, generator=generator, device=features.device)
        return features * (draws < kept).to(features.dtype).div_(kept)


def seed_dropout(network: nn.Module, seed: int) -> None:
    """Restarts every dropout of a network; to be called before a site's local steps."""
    layers = [module for module in network.modules() if isinstance(module, Dropout)]
    for index, layer in enumerate(layers):
        layer.restart(seed, index)


def own_dropout(network: nn.Module) -> None:
    """Replaces torch's dropout layers, which draw from the process-wide generator."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.Dropout3d):
            whole_channels = not isinstance(module, nn.Dropout)
            network.set_submodule(name, Dropout(module.p, whole_channels))
