"""One case as it comes from a source, before any preparation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Volume:
    """An image with its geometry and its label."""

    image: npt.NDArray[np.float32]
    """[channels, *spatial], two or three spatial axes."""
    affine: npt.NDArray[np.float64]
    """4 x 4, voxel index to millimetres in RAS+; 2D images use the first two axes."""
    label: npt.NDArray[np.int32] | int
    """A map of the image's spatial shape (raw label values), or the class index."""


class Aside(StrEnum):
    """Why a case was set aside: the documented reasons."""

    UNREADABLE = "unreadable"
    NO_LABEL = "no-label"
    GEOMETRY = "geometry"
    DUPLICATE = "duplicate"
    LABEL_VALUE = "label-value"
    NOT_FINITE = "not-finite"
    EMPTY = "empty"
    CHANNELS = "channels"


class CaseError(Exception):
    """A case that cannot be used; the run goes on with the rest."""

    def __init__(self, reason: Aside, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
