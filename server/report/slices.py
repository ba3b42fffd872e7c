"""Slices with the outlines of truth and prediction, as an image inside an SVG."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
import numpy.typing as npt
from PIL import Image

from fedvox.server.report.records import Run, Sample

_LARGEST_PX = 384
"""A page with eight slices should stay small enough for an e-mail."""


@dataclass(frozen=True)
class Picture:
    """One slice, ready for the page."""

    name: str
    width: int
    height: int
    png: str
    """data: URI."""
    truth: str
    """SVG path; empty where there is nothing to outline."""
    prediction: str


def pictures(run: Run) -> tuple[Picture, ...]:
    """All slices that the run kept."""
    return tuple(_picture(sample) for sample in run.samples if sample.image.ndim == 2)


def _picture(sample: Sample) -> Picture:
    height, width = sample.image.shape
    return Picture(
        name=sample.name,
        width=width,
        height=height,
        png=_png(sample.image),
        truth=_outline(sample.truth),
        prediction=_outline(sample.prediction),
    )


def _png(image: npt.NDArray[Any]) -> str:
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = np.percentile(values, (0.5, 99.5))
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255
    picture = Image.fromarray(grey.round().astype(np.uint8))
    picture.thumbnail((_LARGEST_PX, _LARGEST_PX))
    written = io.BytesIO()
    picture.save(written, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def _outline(mask: npt.NDArray[Any] | None) -> str:
    """The border of every class in a mask, in voxels."""
    if mask is None:
        return ""
    padded = np.pad(mask, 1)  # an area that touches the border gets a closed outline
    parts = []
    for label in np.unique(mask[mask > 0]):
        generator = contourpy.contour_generator(z=(padded == label).astype(np.float64))
        for line in generator.lines(0.5):
            points = np.asarray(line)[:-1] - 0.5  # minus the padding, plus half a voxel
            parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(parts)
