"""What a label is, before and after it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

LabelMap = npt.NDArray[np.int16]

RESAMPLED = "resampled"
"""Flag: the label was drawn on another grid and brought to the scan's by nearest voxel."""
OVERLAPS = "overlaps"
"""Flag: structures overlapped, and the one that is named last was kept where they did."""
PARTLY_OUTSIDE = "partly-outside"
"""Flag: a part of what is labelled lies outside the scan."""


class LabelKind(StrEnum):
    """How a label is written down."""

    SEG = "SEG"
    RTSTRUCT = "RTSTRUCT"
    MASK = "MASK"
    CLASS = "CLASS"


@dataclass(frozen=True)
class LabelRef:
    """A label that was found and not yet read."""

    kind: LabelKind
    path: Path = field(repr=False)
    """The file it stands in; of a class, the table or the image itself."""
    fingerprint: str
    """Equal for the same content."""
    value: str = field(default="", repr=False)
    """The class name, where kind is CLASS."""
    structure: str = ""
    """What a mask shows, where its name says that it shows one of several structures."""
    exact: bool = False
    """The name fits several scans: only one on the label's own grid can be meant."""


@dataclass(frozen=True)
class Label:
    """What a person said of a scan."""

    map: LabelMap | str
    """Voxel values [x, y, z] on the scan's own grid, not necessarily contiguous in that order; or
    the name of a class."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Names of the values, background not among them; empty where nothing says."""
    flags: frozenset[str] = frozenset()
    """RESAMPLED, OVERLAPS, PARTLY_OUTSIDE."""
