"""The cells that every site counts in: fixed, so that sites add up and a cell tells nothing.

A number is counted in the cell whose centre is nearest to it; centres are values that scanners and
protocols have, so that the middle of a cell is a value that may stand in a contract.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

SPACING_MM = (
    0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0,
    3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0,
)  # fmt: skip
SIZE_VOXELS = (
    1.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 40.0, 48.0, 56.0, 64.0, 80.0, 96.0, 112.0,
    128.0, 160.0, 192.0, 224.0, 256.0, 320.0, 384.0, 448.0, 512.0, 640.0, 768.0, 1024.0, 1536.0,
    2048.0, 3072.0, 4096.0,
)  # fmt: skip
_POSITIVE = (
    25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1000.0,
    1500.0, 2000.0, 3000.0, 5000.0, 10000.0, 20000.0, 65000.0,
)  # fmt: skip
INTENSITY = (*(-value for value in reversed(_POSITIVE) if value <= 3000), 0.0, *_POSITIVE)

NUMBERS: Mapping[str, tuple[float, ...]] = {
    **{f"spacing_mm_{axis}": SPACING_MM for axis in range(3)},
    **{f"size_{axis}": SIZE_VOXELS for axis in range(3)},
    "intensity_low": INTENSITY,
    "intensity_middle": INTENSITY,
    "intensity_high": INTENSITY,
}
"""Histograms of numbers: name -> centres of the cells, rising. Axis 0 runs right to left, 1 back to
front, 2 foot to head; of a projection they are those of the picture."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "modality": ("CT", "MR", "PT", "other"),
    "dims": ("2", "3"),
    "channels": ("1", "2", "3", "4", "5 and more"),
    "cases": ("1", "2", "3 to 5", "6 and more"),
}
"""Histograms of kinds: name -> what its cells are called. `cases` are those of a patient."""

LABEL_VALUES = range(1, 9)
"""Values of label maps that are counted where counts are noised: they must not come from the
data."""


def cell_of(name: str, value: float) -> int:
    """The cell of a number."""
    centres = NUMBERS[name]
    above = bisect_left(centres, value)
    if above == 0:
        return 0
    if above == len(centres):
        return above - 1
    return above if centres[above] - value < value - centres[above - 1] else above - 1


def cell_of_count(name: str, count: int) -> int:
    """The cell of a number of channels, or of a patient's cases."""
    if name == "channels":
        return min(count, 5) - 1
    return count - 1 if count <= 2 else 2 if count <= 5 else 3
