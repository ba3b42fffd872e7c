"""Which frames can lie in one stack: same size, spacing and direction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedvox.client.ingest.reading.frames import Common, Frame

LAYOUTS_AT_MOST = 64
"""A series with more is not parted."""
_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-4


@dataclass(frozen=True)
class Layout:
    """What all slices of a stack share."""

    common: Common

    def fits(self, other: Common) -> bool:
        """Whether frames of `other` can lie in the same stack."""
        return self.same_size(other) and _near(
            self.common.orientation, other.orientation, _SAME_DIRECTION
        )

    def same_size(self, other: Common) -> bool:
        """Whether rows, columns, spacing and frame of reference are equal."""
        own = self.common
        return (
            (own.rows, own.columns, own.modality, own.frame_of_reference)
            == (other.rows, other.columns, other.modality, other.frame_of_reference)
        ) and _near(own.spacing_mm, other.spacing_mm, _SAME_SPACING_MM)


def layouts_of(frames: Iterable[Frame]) -> list[tuple[Layout, list[Frame]]]:
    """Frames by layout; one more than LAYOUTS_AT_MOST where there are too many to go on."""
    layouts: list[tuple[Layout, list[Frame]]] = []
    known: dict[Common, list[Frame]] = {}
    for frame in frames:
        own = known.get(frame.common)
        if own is None:
            own = next((own for layout, own in layouts if layout.fits(frame.common)), None)
            if own is None and len(layouts) > LAYOUTS_AT_MOST:
                return layouts
            if own is None:
                own = []
                layouts.append((Layout(frame.common), own))
            known[frame.common] = own
        own.append(frame)
    return layouts


def _near(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= tolerance for a, b in zip(one, other, strict=True)
    )
