"""A scan's label, read and brought to the scan's own grid."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np

from fedvox.client.ingest.labels.canvas import Canvas
from fedvox.client.ingest.labels.contours import read_outlines
from fedvox.client.ingest.labels.grid import Grid
from fedvox.client.ingest.labels.label import RESAMPLED, Label, LabelKind, LabelRef
from fedvox.client.ingest.labels.masks import MaskFile, paint_mask, paint_masks
from fedvox.client.ingest.labels.objects import references_of
from fedvox.client.ingest.labels.outlines import paint_outlines
from fedvox.client.ingest.labels.planes import paint_segmentation
from fedvox.client.ingest.labels.segmentation import read_segmentation
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import PLANAR, Scan


def read_label(
    scan: Scan, refs: Sequence[LabelRef], wanted: Mapping[str, int] | None = None
) -> Label:
    """The label of a scan from all that was matched to it.

    `wanted` maps names of structures, or their numbers, to values; without it the numbers are the
    values. Quarantined where there is no label, where it does not lie on the scan, where it names
    another patient or frame of reference, and where two labels say different things.
    """
    if not refs:
        raise Quarantined(Reason.NO_LABEL)
    classes = {ref.value for ref in refs if ref.kind is LabelKind.CLASS}
    if classes:
        if len(classes) > 1 or len(refs) > 1:
            raise Quarantined(Reason.LABEL_MISMATCH, "several labels, of which one is a class")
        return Label(classes.pop())
    grid = Grid(_spatial(scan), scan.affine)
    try:
        masks = [ref for ref in refs if ref.kind is LabelKind.MASK]
        painted = [_paint(scan, grid, ref, wanted or {}) for ref in refs if ref not in masks]
        painted += _masks(grid, masks, wanted or {})
    except np.linalg.LinAlgError:
        raise Quarantined(Reason.NO_GEOMETRY, "the label has no place") from None
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "more voxels than this machine has memory") from None
    return painted[0] if len(painted) == 1 else _join(painted, grid, asked=bool(wanted))


def _spatial(scan: Scan) -> tuple[int, int, int]:
    x, y, z = scan.image.shape[1:]
    return x, y, z


def _paint(scan: Scan, grid: Grid, ref: LabelRef, wanted: Mapping[str, int]) -> Label:
    its = references_of(ref.path)
    if its.patient and scan.patient and its.patient != scan.patient:
        raise Quarantined(Reason.LABEL_MISMATCH, "the label names another patient")
    frames = its.frames_of_reference
    if frames and scan.frame_of_reference and scan.frame_of_reference not in frames:
        raise Quarantined(Reason.LABEL_MISMATCH, "the label has another frame of reference")
    if ref.kind is LabelKind.SEG:
        is_drawn_on_it = PLANAR in scan.flags and its.instances & set(scan.sop_uids)
        found = read_segmentation(ref.path, grid if is_drawn_on_it else None)
        return paint_segmentation(found, grid, wanted)
    # One file may hold structures of several scans, each in its own frame.
    outlines = [o for o in read_outlines(ref.path) if _same(o.frame_of_reference, scan)]
    if not outlines:
        raise Quarantined(Reason.LABEL_MISMATCH, "its contours have another frame of reference")
    named = (its.instances & set(scan.sop_uids)) or scan.series_uid in its.series
    of_another = not named and bool(its.instances or its.series)
    return paint_outlines(outlines, grid, wanted, of_another)


def _same(frame: str, scan: Scan) -> bool:
    return "" in (frame, scan.frame_of_reference) or frame == scan.frame_of_reference


def _masks(grid: Grid, refs: Sequence[LabelRef], wanted: Mapping[str, int]) -> list[Label]:
    """One file of values, or files of one structure each; not both."""
    whole = [ref for ref in refs if not ref.structure]
    files = [MaskFile(ref.path, ref.structure) for ref in refs if ref.structure]
    if len(whole) > 1:
        raise Quarantined(Reason.LABEL_MISMATCH, "several masks bear this scan's name")
    found = [paint_mask(ref.path, grid, wanted) for ref in whole]
    if files and not whole:
        single = len(files) == 1 and not wanted
        found.append(
            paint_mask(files[0].path, grid, wanted) if single else paint_masks(files, grid, wanted)
        )
    if any(ref.exact for ref in refs) and any(RESAMPLED in label.flags for label in found):
        raise Quarantined(
            Reason.LABEL_MISMATCH, "several scans could be meant, and this one has another grid"
        )
    return found


def _join(labels: Sequence[Label], grid: Grid, asked: bool) -> Label:
    """Several objects that label one scan: their structures together, if each is in one only.

    Structures of different names that have one number in different objects get numbers of their
    own, unless the numbers were asked for: then they are one.
    """
    names: dict[int, str] = {}
    canvas, whole = Canvas(grid.shape), slice(None)
    flags: frozenset[str] = frozenset()
    for label in labels:
        found = np.asarray(label.map)
        own = {value: label.names.get(value, "") for value in np.unique(found).tolist() if value}
        shared = set(own.values()) & set(names.values())
        if names and own and (shared or "" in {*own.values(), *names.values()}):
            raise Quarantined(
                Reason.LABEL_MISMATCH, "several labels of this scan show the same structure"
            )
        numbers = own if asked else _free(own, names)
        table = np.zeros(int(found.max(initial=0)) + 1, dtype=np.int16)
        for value, number in zip(own, numbers, strict=True):
            table[value] = number
            names[number] = " + ".join(n for n in (names.get(number), own[value]) if n)
        canvas.paint((whole, whole, whole), table[found])
        flags |= label.flags
    joined = canvas.finish({})
    return Label(joined.map, {v: n for v, n in sorted(names.items()) if n}, joined.flags | flags)


def _free(own: Iterable[int], taken: Container[int]) -> list[int]:
    """The values themselves where they are free, else the next number that is."""
    numbers: list[int] = []
    for value in own:
        while value in taken or value in numbers:
            value += 1
        numbers.append(value)
    return numbers
