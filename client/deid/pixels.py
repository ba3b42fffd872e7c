"""Text that is burned into the pixels: files that may hold some are refused, or blackened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedvox.client.ingest.reasons import Quarantined, Reason

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CAPTURES = frozenset(f"{_STORAGE}7{end}" for end in ("", ".1", ".2", ".3", ".4"))
_CAPTURE_TYPES = frozenset({"SCREEN SAVE", "SCREENSAVE", "SECONDARY CAPTURE"})
_TEXT_PRONE = frozenset({"US", "IVUS", "ECG", "SC", "ES", "XC", "OT", "GM", "OP", "DOC"})
"""Modalities whose images commonly show names, dates or the world outside."""

Region = tuple[int, int, int, int]


def may_hold_text(dataset: Dataset) -> Reason | None:
    """Why an image may hold text; None where it does not. In doubt it may."""
    flag = str(dataset.get("BurnedInAnnotation", "") or "").strip().upper()
    image_type = {str(one).strip().upper() for one in dataset.get("ImageType", None) or ()}
    if flag == "YES":
        return Reason.BURNED_IN_TEXT
    if str(dataset.get("SOPClassUID", "")) in _CAPTURES or _CAPTURE_TYPES & image_type:
        return Reason.SECONDARY_CAPTURE
    modality = str(dataset.get("Modality", "") or "").strip().upper()
    if modality in _TEXT_PRONE and flag != "NO":
        return Reason.BURNED_IN_TEXT
    return None


def blacken(dataset: Dataset, regions: Sequence[Region]) -> None:
    """Sets the regions of every frame to the smallest stored value; decompresses for that.

    Quarantined where the pixels cannot be decoded or a region lies outside the image.
    """
    import numpy as np

    height, width = int(dataset.Rows), int(dataset.Columns)
    for x, y, across, down in regions:
        if x < 0 or y < 0 or across < 1 or down < 1 or x + across > width or y + down > height:
            detail = f"a region to blacken lies outside an image of {width} x {height}"
            raise Quarantined(Reason.BURNED_IN_TEXT, detail)
    if dataset.get("BitsAllocated") not in (8, 16, 32):
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "pixels of this depth are not blackened")
    try:
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress()
        dataset.pixel_array_options(raw=True)  # no change of colour space
        pixels = np.array(dataset.pixel_array)
        frames = int(dataset.get("NumberOfFrames", 1) or 1)
        shape = (frames, height, width, int(dataset.get("SamplesPerPixel", 1)))
        view = pixels.reshape(shape)
    except Exception as error:  # decoders raise what they please
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, type(error).__name__) from None
    for x, y, across, down in regions:
        view[:, y : y + down, x : x + across, :] = view.min()
    if shape[3] > 1:
        dataset.PlanarConfiguration = 0
    little = dataset.original_encoding[1]
    data = pixels.astype(pixels.dtype.newbyteorder("<" if little else ">")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
