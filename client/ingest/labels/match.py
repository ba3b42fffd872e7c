"""Which label belongs to which scan, by what labels say of images, by names, and by tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.ingest.labels.gather import LabelObject, Labels
from fedvox.client.ingest.labels.label import LabelKind, LabelRef
from fedvox.client.ingest.labels.objects import attribute, read_object
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import ScanRef, SetAside
from fedvox.client.ingest.volumes.naming import Named, distance, named, structure_of
from fedvox.client.ingest.volumes.reading import NAME, content_hash
from fedvox.client.ingest.volumes.tables import CLASS, Row, first_of


@dataclass(frozen=True)
class Matched:
    """What was found for each scan."""

    labels: Mapping[str, tuple[LabelRef, ...]] = field(repr=False)
    """By the scan's fingerprint; scans without a label are not in it."""
    set_aside: tuple[SetAside, ...] = ()
    """Label files that belong to no scan, or that cannot be read."""

    def of(self, ref: ScanRef) -> tuple[LabelRef, ...]:
        """The labels of a scan; none where there are none."""
        return self.labels.get(ref.fingerprint, ())


def match(scans: Sequence[ScanRef], labels: Labels) -> Matched:
    """The labels of each scan. Nothing is decoded; `read_label` checks the geometry."""
    found: dict[str, list[LabelRef]] = {}
    asides = list(labels.set_aside)
    for label in labels.objects:
        _add(found, _named_by(label, scans), LabelRef(label.kind, label.path, ""), asides)
    for mask in labels.masks:
        _add_mask(found, mask, scans, asides)
    for scan in scans:
        if scan.fingerprint not in found:
            value = _class(scan, labels)
            if value is not None:
                found[scan.fingerprint] = [value]
    return Matched({key: tuple(refs) for key, refs in found.items()}, tuple(asides))


def _add(
    found: dict[str, list[LabelRef]],
    scans: Sequence[ScanRef],
    label: LabelRef,
    asides: list[SetAside],
) -> None:
    try:
        digest = content_hash((label.path,), label.kind, label.structure, label.exact)
    except Quarantined as why:
        asides.append(SetAside(why.reason, (label.path,), why.detail))
        return
    if not scans:
        detail = "no scan that was found belongs to this label"
        asides.append(SetAside(Reason.LABEL_MISMATCH, (label.path,), detail))
    for scan in scans:
        ref = LabelRef(label.kind, label.path, digest, "", label.structure, label.exact)
        found.setdefault(scan.fingerprint, []).append(ref)


def _named_by(label: LabelObject, scans: Sequence[ScanRef]) -> list[ScanRef]:
    """The scans that a label names: by instance, else by series, else by frame of reference."""
    its = label.references
    tests: tuple[Callable[[ScanRef], bool], ...] = (
        lambda scan: not its.instances.isdisjoint(scan.sop_uids),
        lambda scan: bool(scan.series_uid) and scan.series_uid in its.series,
        lambda scan: (
            bool(scan.frame_of_reference)
            and scan.frame_of_reference in its.frames_of_reference
            and its.patient in ("", scan.patient)
        ),
    )
    return next((hits for test in tests if (hits := [s for s in scans if test(s)])), [])


def _add_mask(
    found: dict[str, list[LabelRef]],
    mask: Named,
    scans: Sequence[ScanRef],
    asides: list[SetAside],
) -> None:
    """To the images of that name that lie nearest; where several do, the grid must decide."""
    hits: list[tuple[int, str, ScanRef]] = []
    for scan in scans:
        image = _image(scan)
        structure = structure_of(mask, image) if image else _structure_of_series(mask, scan)
        if structure is not None:
            hits.append((distance(mask, image) if image else 0, structure, scan))
    # An image whose whole name is in the mask's is meant, not one whose name is a part of that.
    shortest = min((len(structure) for _, structure, _ in hits), default=0)
    best = [hit for hit in hits if len(hit[1]) == shortest]
    nearest = min((hit[0] for hit in best), default=0)
    chosen = [(structure, scan) for away, structure, scan in best if away == nearest]
    exact = len(chosen) > 1
    for structure, scan in chosen:
        _add(found, [scan], LabelRef(LabelKind.MASK, mask.path, "", "", structure, exact), asides)
    if not chosen:
        _add(found, [], LabelRef(LabelKind.MASK, mask.path, ""), asides)


def _image(scan: ScanRef) -> Named | None:
    return named(scan.files[0]) if scan.reader == NAME else None


def _structure_of_series(mask: Named, scan: ScanRef) -> str | None:
    """Masks of DICOM series are called by the patient, a UID, or the folder of the series."""
    folders = {path.parent for path in scan.files}
    folder = folders.pop().name if len(folders) == 1 else ""
    for name in (scan.series_uid, scan.study_uid, scan.patient, folder):
        image = Named(Path(name or "."), name, is_mask=False)
        structure = structure_of(mask, image) if name else None
        if structure is not None:
            return structure
    return None


def _class(scan: ScanRef, labels: Labels) -> LabelRef | None:
    """The class that a table gives a scan, or that stands in one of its DICOM attributes."""
    rows = [(t.path, row) for t in labels.tables if (row := _row(scan, t.row, t.row_of))]
    for path, row in rows:
        value = row.get(labels.column.lower(), "") if labels.column else first_of(row, CLASS)
        if value:
            return LabelRef(LabelKind.CLASS, path, content_hash((), value), value)
    if labels.attribute and scan.reader != NAME:
        try:
            dataset = read_object(scan.files[0], pixels=False)
            value = str(attribute(dataset, labels.attribute, "")).strip()
        except Quarantined:
            return None
        if value:
            return LabelRef(LabelKind.CLASS, scan.files[0], content_hash((), value), value)
    return None


def _row(
    scan: ScanRef, by_name: Callable[..., Row | None], by_path: Callable[[Path], Row | None]
) -> Row | None:
    if scan.reader == NAME:
        return by_path(scan.files[0].resolve()) or by_name(scan.patient)
    return by_name(scan.series_uid, scan.study_uid, scan.patient, scan.files[0].parent.name)
