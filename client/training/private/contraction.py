"""Per-patient gradients of weights: convolutions, transposed convolutions and linear layers.

All of them have one form. With a small map a [samples, O, T] and the windows u [samples, I, T] that
the kernel sees on a large map, the gradient of sample n is a_n u_n^T: for a convolution the small
map is the gradient of its output and the large one its input; for a transposed convolution it is
the other way round; for a linear layer a window is one vector.

| way | how | where it pays |
|---|---|---|
| grouped | one weight gradient of the batch folded into the channels | large maps, few channels |
| unfold | windows laid out, one matrix product a patient | few windows, small weights |
| ghost | norms from two Gram matrices, the sum as one matrix product | few windows, large weights |
| each | one weight gradient a patient | large maps, very few channels |
| halves | the same, channels last, a sample as two halves | very large maps, very few channels |
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from fedvox.client.training.private.clipping import Materialised, Share

Way = Literal["grouped", "unfold", "ghost", "each", "halves"]
WAYS: tuple[Way, ...] = get_args(Way)

_SMALLEST_SINGLE = 20_480
"""Channels times the first two edges above which torch gives a single sample to oneDNN."""


@dataclass(frozen=True)
class Kernel:
    """How a convolution's kernel walks over its large map."""

    shape: tuple[int, ...]
    """Of the weight: [O, I / groups, *edges]."""
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def edges(self) -> tuple[int, ...]:
        """Voxels of the kernel along each axis."""
        return self.shape[2:]


@dataclass(frozen=True)
class Maps:
    """The two maps of one layer, the samples of each patient beside each other."""

    small: Tensor
    """[patients * most, O, *map]"""
    large: Tensor
    """[patients * most, I, *map]"""
    patients: int


def share_of(maps: Maps, kernel: Kernel, way: Way) -> Share:
    """What every patient has in the gradient of the weight."""
    if not kernel.edges:
        way = "unfold" if way != "ghost" else way
    elif kernel.groups > 1 and way in ("unfold", "ghost"):
        way = "grouped"
    if way == "grouped":
        return Materialised(_grouped(maps, kernel))
    if way == "each":
        return Materialised(_each(maps, kernel))
    if way == "halves":
        return Materialised(_halves(maps, kernel))
    small, windows = _small_rows(maps), _windows(maps, kernel)
    if way == "unfold":
        gradients = torch.einsum("opt,ipt->poi", small, windows)
        return Materialised(gradients.reshape(maps.patients, *kernel.shape))
    return Ghost(small, windows, kernel.shape)


def default_way(kernel: Kernel, small_map: Sequence[int]) -> Way:
    """The way that was fastest on a processor for layers of such a shape."""
    windows = math.prod(small_map)
    if math.prod(kernel.shape) > 256 * windows * windows:
        return "ghost"
    if windows < 4096:
        return "grouped"
    fewest, most = sorted(kernel.shape[:2])
    if most <= 8:
        return "halves"
    return "each" if fewest <= 2 else "grouped"


@dataclass
class Ghost:
    """Squared norms without gradients: |a u^T|^2 = sum of (a^T a) * (u^T u)."""

    small: Tensor
    """[O, patients, T]"""
    windows: Tensor
    """[I, patients, T]"""
    shape: tuple[int, ...]

    def squares(self) -> Tensor:
        """[patients]"""
        first, second = self.small.transpose(0, 1), self.windows.transpose(0, 1)
        if first.shape[2] == 1:
            return first.square().sum((1, 2)) * second.square().sum((1, 2))
        grams = torch.bmm(first.transpose(1, 2), first), torch.bmm(second.transpose(1, 2), second)
        # Rounding may leave a gradient of zero a little below it.
        return grams[0].mul_(grams[1]).sum((1, 2)).clamp(min=0.0)

    def weighted(self, factors: Tensor, keep: Tensor | None) -> Tensor:
        """[*shape]"""
        small, windows = self.small, self.windows
        if keep is not None:
            small, windows, factors = small[:, keep], windows[:, keep], factors[keep]
        scaled = small * factors[:, None]
        return (scaled.flatten(1) @ windows.flatten(1).T).view(self.shape)


def _small_rows(maps: Maps) -> Tensor:
    """[O, patients, T] in float32."""
    small = maps.small.float().flatten(2).transpose(0, 1)
    return small.reshape(small.shape[0], maps.patients, -1)


def _windows(maps: Maps, kernel: Kernel) -> Tensor:
    """[I, patients, T] in float32: what the kernel sees of the large map at each place."""
    large = maps.large.float()
    if not kernel.edges:
        rows = large.transpose(0, 1)
        return rows.reshape(rows.shape[0], maps.patients, -1)
    sides = [side for width in reversed(kernel.padding) for side in (width, width)]
    padded = functional.pad(large, sides) if any(sides) else large
    (batch, channel, *steps), out = padded.stride(), maps.small.shape[2:]
    strides = [step * by for step, by in zip(steps, kernel.stride, strict=True)]
    inner = [step * by for step, by in zip(steps, kernel.dilation, strict=True)]
    size = (large.shape[1], *kernel.edges, large.shape[0], *out)
    view = padded.as_strided(size, (channel, *inner, batch, *strides))
    return view.reshape(math.prod(size[: 1 + len(kernel.edges)]), maps.patients, -1)


def _grouped(maps: Maps, kernel: Kernel) -> Tensor:
    folded = Maps(_folded(maps.small, maps.patients), _folded(maps.large, maps.patients), 1)
    gradient = _weight_gradient(folded, kernel, maps.patients)
    return gradient.view(maps.patients, *kernel.shape).float()


def _folded(maps: Tensor, patients: int) -> Tensor:
    """[patients * most, C, *map] -> [most, patients * C, *map]."""
    most, channels = maps.shape[0] // patients, maps.shape[1]
    by_patient = maps.reshape(patients, most, channels, *maps.shape[2:]).transpose(0, 1)
    return by_patient.reshape(most, patients * channels, *maps.shape[2:])


def _each(maps: Maps, kernel: Kernel) -> Tensor:
    def gradient(own: Maps) -> Tensor:
        if _leaves_onednn(own, kernel):
            # In oneDNN's own layout a tensor stays with oneDNN.
            own = Maps(own.small.to_mkldnn(), own.large.to_mkldnn(), 1)
        return _weight_gradient(own, kernel, 1).float()

    return torch.stack([gradient(own) for own in _by_patient(maps)])


def _halves(maps: Maps, kernel: Kernel) -> Tensor:
    dense = torch.channels_last_3d if len(kernel.edges) == 3 else torch.channels_last

    def gradient(own: Maps) -> Tensor:
        halved, same = own, kernel
        if _leaves_onednn(own, kernel) and own.small.shape[2] % 2 == 0:
            halved, same = _halved(own, kernel)
        small, large = (one.contiguous(memory_format=dense) for one in (halved.small, halved.large))
        return _weight_gradient(Maps(small, large, 1), same, 1).float()

    return torch.stack([gradient(own) for own in _by_patient(maps)])


def _by_patient(maps: Maps) -> Iterator[Maps]:
    pairs = zip(maps.small.chunk(maps.patients), maps.large.chunk(maps.patients), strict=True)
    return (Maps(small, large, 1) for small, large in pairs)


def _leaves_onednn(maps: Maps, kernel: Kernel) -> bool:
    """Whether torch would take its slow path, as for one sample in float32 on a processor."""
    single = maps.large.shape[0] == 1 and kernel.groups == 1
    slow_type = maps.large.device.type == "cpu" and maps.large.dtype == torch.float32
    return single and slow_type and math.prod(maps.large.shape[1:4]) <= _SMALLEST_SINGLE


def _halved(maps: Maps, kernel: Kernel) -> tuple[Maps, Kernel]:
    """Every sample as two halves along the first axis, the large ones overlapping."""
    first, *others = kernel.padding
    sides = [0, 0] * len(others) + [first, first]
    padded = functional.pad(maps.large, sides) if first else maps.large
    half, step = maps.small.shape[2] // 2, kernel.stride[0]
    length = (half - 1) * step + kernel.dilation[0] * (kernel.edges[0] - 1) + 1
    halves = [part.narrow(2, at * half * step, length) for part in (padded,) for at in (0, 1)]
    large = torch.stack(halves, 1).flatten(0, 1)
    small = torch.stack(maps.small.chunk(2, 2), 1).flatten(0, 1)
    return Maps(small, large, maps.patients), replace(kernel, padding=(0, *others))


def _weight_gradient(maps: Maps, kernel: Kernel, fold: int) -> Tensor:
    """[fold * O, I / groups, *edges], the samples summed.

    Of the weight that torch wants to be given only the shape is looked at.
    """
    if any(edge < width for edge, width in zip(maps.large.shape[2:], kernel.edges, strict=True)):
        # oneDNN's bfloat16 gradient leaves its buffers where a map is smaller than the kernel.
        maps = Maps(maps.small.float(), maps.large.float(), maps.patients)
    shape = (fold * kernel.shape[0], *kernel.shape[1:])
    _, gradient, _ = torch.ops.aten.convolution_backward(
        maps.small,
        maps.large,
        torch.empty(1, dtype=maps.small.dtype, device=maps.small.device).expand(shape),
        None,
        kernel.stride,
        kernel.padding,
        kernel.dilation,
        False,
        (0,) * len(kernel.stride),
        fold * kernel.groups,
        (False, True, False),
    )
    result: Tensor = gradient
    return result
