"""Deterministic steps that change intensities, channel by channel: filter, window, normalise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedvox.common.study.sections import DataSection

Image = npt.NDArray[np.float32]

_EQUALISE_BINS = 256


def denoise(image: Image, filter_name: str, radius: float) -> Image:
    """Mean or median over a cube of `radius` voxels, or a Gaussian of that deviation."""
    from scipy import ndimage

    width = 2 * max(1, round(radius)) + 1
    smoothed = np.empty_like(image)
    for channel, out in zip(image, smoothed, strict=True):
        if filter_name == "mean":
            ndimage.uniform_filter(channel, width, output=out, mode="nearest")
        elif filter_name == "median":
            ndimage.median_filter(channel, width, output=out, mode="nearest")
        else:
            ndimage.gaussian_filter(channel, radius, output=out, mode="nearest")
    return smoothed


def clip_to_window(image: Image, window: tuple[float, ...]) -> Image:
    """Intensities below and above the window set to its ends."""
    return np.clip(image, np.float32(window[0]), np.float32(window[1]))


def equalise(image: Image) -> Image:
    """Every channel with its histogram flattened, over the range of intensities it had."""
    return np.stack([_equalised(channel) for channel in image])


def _equalised(channel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    low, high = float(channel.min()), float(channel.max())
    if low == high:
        return channel
    counts, edges = np.histogram(channel, _EQUALISE_BINS, (low, high))
    below = np.concatenate([[0.0], np.cumsum(counts) / channel.size])
    flat = np.interp(channel, edges, low + (high - low) * below)
    return flat.astype(np.float32)


def normalise(image: Image, data: DataSection) -> Image:
    """As the study says; a channel that is constant becomes zero."""
    if data.normalise == "none":
        return image
    if data.normalise == "zscore":
        return np.stack([_zscore(channel) for channel in image])
    if data.normalise == "percentile":
        ends = [np.percentile(channel, data.percentiles) for channel in image]
    elif data.window:
        ends = [np.asarray(data.window) for _ in image]
    else:
        ends = [np.asarray([channel.min(), channel.max()]) for channel in image]
    return np.stack([_to_unit(channel, end) for channel, end in zip(image, ends, strict=True)])


def _zscore(channel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mean = channel.mean(dtype=np.float64)
    centred = channel - np.float32(mean)
    deviation = np.sqrt(np.mean(np.square(centred), dtype=np.float64))
    # The mean of a constant channel can be off by rounding: what remains is no signal.
    if deviation <= 1e-6 * abs(mean) or deviation == 0:
        return np.zeros_like(channel)
    centred /= np.float32(deviation)
    return centred


def _to_unit(
    channel: npt.NDArray[np.float32], ends: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    low, high = float(ends[0]), float(ends[1])
    if low >= high:
        return np.zeros_like(channel)
    unit = (channel - np.float32(low)) / np.float32(high - low)
    return np.clip(unit, 0.0, 1.0, out=unit)
