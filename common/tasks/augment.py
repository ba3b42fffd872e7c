"""Random changes of a training patch: parameters are drawn first, then applied without chance.

So nothing holds state that threads could share, and a generator in the same state replays the same
augmentation to the bit. Steps that are off draw nothing and cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedvox.common.study.sections import AugmentSection
from fedvox.common.tasks.warp import Warp, apply_warp, draw_warp

Image = npt.NDArray[np.float32]
Label = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """One drawn augmentation; None: left out."""

    flips: tuple[int, ...] = ()
    """Spatial axes that are mirrored."""
    warp: Warp = field(default_factory=Warp)
    blur_sigma: float | None = None
    """In voxels."""
    noise: Image | None = None
    """Added to the image."""
    gamma: float | None = None
    """Exponent of the intensities scaled to [0, 1]."""


def draw_augmentation(
    section: AugmentSection, image_shape: tuple[int, ...], rng: np.random.Generator
) -> Augmentation:
    """Parameters for one patch of `image_shape` (channels first), as the study says."""
    dims = len(image_shape) - 1
    flips = tuple(axis for axis in range(dims) if section.flip and rng.random() < section.flip)
    warp = draw_warp(section, dims, rng)
    blur_sigma = noise = gamma = None
    if section.blur and rng.random() < section.blur:
        blur_sigma = float(rng.uniform(0, section.blur_sigma))
    if section.noise and rng.random() < section.noise:
        deviation = np.float32(rng.uniform(0, section.noise_std))
        noise = deviation * rng.standard_normal(image_shape, dtype=np.float32)
    if section.contrast and rng.random() < section.contrast:
        gamma = float(rng.uniform(1 - section.contrast_range, 1 + section.contrast_range))
    return Augmentation(flips, warp, blur_sigma, noise, gamma)


def apply_augmentation(
    drawn: Augmentation, image: Image, label: Label | None, spacing: tuple[float, ...]
) -> tuple[Image, Label | None]:
    """Image and label changed together; intensities only in the image."""
    if drawn.flips:
        image = np.ascontiguousarray(np.flip(image, tuple(1 + axis for axis in drawn.flips)))
        label = None if label is None else np.ascontiguousarray(np.flip(label, drawn.flips))
    if drawn.warp:
        image, label = apply_warp(drawn.warp, image, label, spacing)
    if drawn.blur_sigma is not None:
        image = blurred(image, drawn.blur_sigma)
    if drawn.noise is not None:
        image = image + drawn.noise
    if drawn.gamma is not None:
        image = contrasted(image, drawn.gamma)
    return image, label


def augment(
    section: AugmentSection,
    image: Image,
    label: Label | None,
    spacing: tuple[float, ...],
    rng: np.random.Generator,
) -> tuple[Image, Label | None]:
    """Draws an augmentation and applies it."""
    return apply_augmentation(draw_augmentation(section, image.shape, rng), image, label, spacing)


def blurred(image: Image, sigma: float) -> Image:
    """Every channel under a Gaussian of `sigma` voxels."""
    from scipy import ndimage

    smoothed = np.empty_like(image)
    for channel, out in zip(image, smoothed, strict=True):
        ndimage.gaussian_filter(channel, sigma, output=out, truncate=3.0, mode="nearest")
    return smoothed


def contrasted(image: Image, gamma: float) -> Image:
    """Every channel's intensities, scaled to [0, 1], raised to `gamma`, and scaled back."""
    axes = tuple(range(1, image.ndim))
    low = image.min(axis=axes, keepdims=True)
    width = image.max(axis=axes, keepdims=True) - low
    unit = (image - low) / np.where(width > 0, width, np.float32(1))
    return np.asarray(np.power(unit, np.float32(gamma)) * width + low)
