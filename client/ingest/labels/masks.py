"""Masks in volume files, on the scan's grid, with the names of their values where a file says."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.canvas import LARGEST_VALUE, Canvas, Structure, names_of, values_of
from fedvox.client.ingest.labels.grid import (
    Grid,
    covers,
    foreground_mm,
    is_same,
    overlap,
    resample_nearest,
)
from fedvox.client.ingest.labels.label import RESAMPLED, Label
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.formats import head_of, read_volume, stem
from fedvox.client.ingest.volumes.people import read_json
from fedvox.client.ingest.volumes.pictures import is_picture, read_picture
from fedvox.client.ingest.volumes.raster import Raster

_WHOLE = 1e-3
_MOST_TABLE_BYTES = 1 << 20

Layers = npt.NDArray[Any]


@dataclass(frozen=True)
class MaskFile:
    """One file of a mask, and the structure it shows where it shows only one."""

    path: Path
    structure: str = ""


def paint_mask(path: Path, grid: Grid, wanted: Mapping[str, int]) -> Label:
    """A file whose voxels are values."""
    raster = _read(path, grid)
    layers, source = whole_values(raster), _grid(raster)
    structures = _structures(raster, path, layers)
    values = _values(structures, layers, wanted)
    canvas, whole = Canvas(grid.shape), slice(None)
    for number, layer in enumerate(layers):
        mapped = _mapped(layer, number, structures, values)
        drawn = _bring(canvas, mapped, source, grid)
        canvas.paint((whole, whole, whole), drawn)
    plain = [Structure(s.number, s.name) for s in structures]
    label = canvas.finish(names_of(plain, values))
    return label if is_same(source, grid) else replace(label, flags=label.flags | {RESAMPLED})


def paint_masks(masks: Sequence[MaskFile], grid: Grid, wanted: Mapping[str, int]) -> Label:
    """Files of one structure each; without `wanted` they are numbered in the order of names."""
    ordered = sorted(masks, key=lambda mask: mask.structure)
    structures = [Structure(number, mask.structure) for number, mask in enumerate(ordered, start=1)]
    values = values_of(structures, wanted)
    canvas, whole, flags = Canvas(grid.shape), slice(None), set()
    for structure, mask in zip(structures, ordered, strict=True):
        value = values.get(structure.number, 0)
        if value:
            raster = _read(mask.path, grid)
            source = _grid(raster)
            inside = (whole_values(raster) != 0).any(axis=0) * np.int16(value)
            canvas.paint((whole, whole, whole), _bring(canvas, inside, source, grid))
            flags |= set() if is_same(source, grid) else {RESAMPLED}
    label = canvas.finish(names_of(structures, values))
    return replace(label, flags=label.flags | flags)


@dataclass(frozen=True)
class _Layered:
    """A structure of a mask: a value in one of its layers."""

    number: int
    name: str
    layer: int
    value: int


def _read(path: Path, grid: Grid) -> Raster:
    if not is_picture(head_of(path)):
        return read_volume(path)
    raster = read_picture(path, is_mask=True)  # it has no geometry of its own: pixel for pixel
    if raster.voxels.shape[1:] != grid.shape:
        raise Quarantined(Reason.LABEL_MISMATCH, "the mask has another size than the picture")
    return replace(raster, affine=grid.affine)


def _grid(raster: Raster) -> Grid:
    x, y, z = raster.voxels.shape[1:]
    return Grid((x, y, z), raster.affine)


def whole_values(raster: Raster) -> Layers:
    """The values as whole numbers; Quarantined where they are none, or cannot be labels."""
    voxels = raster.voxels
    if voxels.dtype.kind == "f":
        rounded = np.rint(voxels)
        if not np.isfinite(voxels).all() or np.abs(voxels - rounded).max() > _WHOLE:
            raise Quarantined(Reason.LABEL_VALUE, "the mask holds values that are no whole numbers")
        voxels = rounded
    if voxels.min() < 0 or voxels.max() > LARGEST_VALUE:
        raise Quarantined(
            Reason.LABEL_VALUE, f"the mask holds values below 0 or above {LARGEST_VALUE}"
        )
    return voxels.astype(np.int16)


def _structures(raster: Raster, path: Path, layers: Layers) -> list[_Layered]:
    """What the file, or one beside it, calls its values; values without a name among them."""
    if raster.segments:
        numbered = len(layers) > 1
        return [
            _Layered(
                number if numbered else segment.value, segment.name, segment.layer, segment.value
            )
            for number, segment in enumerate(raster.segments, start=1)
        ]
    if len(layers) > 1:  # a channel for each structure
        return [_Layered(at + 1, "", at, int(layer.max())) for at, layer in enumerate(layers)]
    names = _names_beside(path)
    found = {int(value) for value in np.unique(layers)} - {0}
    return [_Layered(value, names.get(value, ""), 0, value) for value in sorted(found | set(names))]


def _values(
    structures: Sequence[_Layered], layers: Layers, wanted: Mapping[str, int]
) -> dict[int, int]:
    """Structure number -> value; every value that is there must have one."""
    there = [s for s in structures if bool((layers[s.layer] == s.value).any())]
    plain = [Structure(s.number, s.name) for s in structures]
    if not there:
        return {}
    values = values_of(plain, wanted)
    strange = [s.number for s in there if s.number not in values]
    if strange:
        raise Quarantined(Reason.LABEL_VALUE, f"value {strange[0]} is not in the label map")
    return values


def _mapped(
    layer: npt.NDArray[np.int16],
    number: int,
    structures: Sequence[_Layered],
    values: Mapping[int, int],
) -> npt.NDArray[np.int16]:
    table = np.zeros(int(layer.max(initial=0)) + 1, dtype=np.int16)
    for structure in structures:
        if structure.layer == number and 0 < structure.value < len(table):
            table[structure.value] = values.get(structure.number, 0)
    return np.asarray(table[layer])


def _bring(
    canvas: Canvas, values: npt.NDArray[np.int16], source: Grid, grid: Grid
) -> npt.NDArray[np.int16]:
    """The values on the scan's grid; counts how much of them lies on it."""
    labelled = int(np.count_nonzero(values))
    if not labelled and not overlap(grid, source):
        raise Quarantined(Reason.LABEL_MISMATCH, "the mask lies outside the scan")
    part = 1.0 if is_same(source, grid) else covers(grid, foreground_mm(values, source))
    canvas.count(part * labelled, (1 - part) * labelled)
    return resample_nearest(values, source, grid)


def _names_beside(path: Path) -> dict[int, str]:
    """Names from BIDS's dseg.tsv or from an MSD or nnU-Net dataset.json."""
    for table in (
        path.with_name(f"{stem(path)}.tsv"),
        *(up / "dseg.tsv" for up in path.parents[:4]),
    ):
        names = _names_in_table(table)
        if names:
            return names
    for folder in path.parents[:2]:
        told = read_json(folder / "dataset.json").get("labels")
        if isinstance(told, dict):
            return _names_in_labels(told)
    return {}


def _names_in_table(path: Path) -> dict[int, str]:
    try:
        if path.stat().st_size > _MOST_TABLE_BYTES:
            return {}
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), delimiter="\t"))
        return {int(row["index"]): row["name"] for row in rows if int(row["index"])}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}


def _names_in_labels(told: Mapping[str, Any]) -> dict[int, str]:
    """MSD writes value to name, nnU-Net name to value."""
    names: dict[int, str] = {}
    for key, value in told.items():
        if key.isdecimal():
            names[int(key)] = str(value)
        elif isinstance(value, int):
            names[value] = key
    return {value: name for value, name in names.items() if 0 < value <= LARGEST_VALUE}
