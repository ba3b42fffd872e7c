"""PNG, JPEG and TIFF: pictures without geometry, which a table says the rest about."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.raster import (
    ASSUMED_GEOMETRY,
    Array,
    Raster,
    check_affine,
    lps_affine,
)

_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("PNG", "JPEG", "TIFF")
_MOST_PIXELS = 1 << 28
_PHOTOMETRIC = 262
"""TIFF's tag of what 0 stands for."""


def is_picture(head: bytes) -> bool:
    """Whether these first bytes are those of a picture that can be read."""
    return head.startswith(_MAGICS)


def read_picture(
    path: Path, spacing_mm: tuple[float, float] = (1.0, 1.0), is_mask: bool = False
) -> Raster:
    """The pixels [channels, x, y, 1], upright; grey, or red, green and blue where these differ.

    Of a mask with a palette the numbers of its colours; Quarantined where it has colours alone.
    """
    try:
        pixels = _pixels(path, is_mask)
    except Quarantined:
        raise
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "more pixels than this machine has memory") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"{path.name}: {error}") from None
    affine = lps_affine([(spacing_mm[0], 0.0), (0.0, spacing_mm[1])], (0.0, 0.0))
    check_affine(affine)
    voxels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return Raster(voxels.transpose(0, 2, 1)[..., None], affine, flags=frozenset({ASSUMED_GEOMETRY}))


def _pixels(path: Path, is_mask: bool) -> Array:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a size that Pillow warns of is refused here
        # From an open file: by a file's name Pillow maps turned TIFFs, and gets their width wrong.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise Quarantined(
                    Reason.TOO_LARGE, f"declares {picture.width} x {picture.height} pixels"
                )
            if getattr(picture, "n_frames", 1) > 1:
                raise Quarantined(Reason.UNREADABLE, "several pages; save one picture a file")
            pixels = _grey_or_colour(_upright(picture), is_mask)
            if is_mask and pixels.ndim == 3:
                detail = "the mask is in colour; save it with one number a structure"
                raise Quarantined(Reason.LABEL_VALUE, detail)
            return pixels


def _upright(picture: Any) -> Any:
    """As it was meant to be looked at; TIFFs are turned when they are loaded."""
    from PIL import ImageOps

    picture.load()
    return picture if picture.format == "TIFF" else ImageOps.exif_transpose(picture)


def _grey_or_colour(picture: Any, is_mask: bool) -> Array:
    if is_mask and picture.mode == "P":
        return np.asarray(picture)
    if picture.mode in ("P", "PA", "CMYK", "YCbCr", "RGBA", "RGBX", "LAB", "HSV"):
        picture = picture.convert("RGB")
    elif picture.mode in ("1", "LA", "La"):
        picture = picture.convert("L")
    pixels = np.asarray(picture)
    if _is_inverted(picture):
        pixels = np.iinfo(pixels.dtype).max - pixels
    if pixels.ndim == 3 and not np.ptp(pixels, axis=2).any():
        return pixels[..., 0]  # grey that was saved as colour
    return pixels


def _is_inverted(picture: Any) -> bool:
    """Whether 0 is white and Pillow, which turns such TIFFs of 8 bits, has left it so."""
    tags = getattr(picture, "tag_v2", {})
    return picture.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0
