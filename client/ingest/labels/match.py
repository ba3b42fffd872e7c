"""Which label belongs to which scan, by what labels say of images, by names, and by tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedvox.client.ingest.labels.by_name import called_after, names_of
from fedvox.client.ingest.labels.classes import class_of
from fedvox.client.ingest.labels.gather import LabelObject, Labels
from fedvox.client.ingest.labels.label import LabelKind, LabelRef
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import ScanRef, SetAside
from fedvox.client.ingest.volumes.reading import content_hash


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
    """The labels of each scan; nothing is decoded, and `read_label` checks the geometry.

    A column or attribute that was named gives every scan its class; else a class is looked for
    where there is neither mask nor DICOM object.
    """
    found: dict[str, list[LabelRef]] = {}
    asides = list(labels.set_aside)
    asked = bool(labels.column or labels.attribute)
    if not asked:
        asides += _add_objects(found, scans, labels.objects)
        asides += _add_masks(found, scans, labels)
    for scan in scans:
        value = class_of(scan, labels) if scan.fingerprint not in found else None
        if value is not None:
            found[scan.fingerprint] = [value]
    return Matched({key: tuple(refs) for key, refs in found.items()}, tuple(asides))


def _add_objects(
    found: dict[str, list[LabelRef]], scans: Sequence[ScanRef], objects: Sequence[LabelObject]
) -> list[SetAside]:
    by_instance = _index(scans, lambda scan: scan.sop_uids)
    by_series = _index(scans, lambda scan: [scan.series_uid])
    by_frame = _index(scans, lambda scan: [scan.frame_of_reference])
    asides: list[SetAside] = []
    for label in objects:
        its = label.references
        near = _all(by_frame, its.frames_of_reference)
        hits = (
            _all(by_instance, its.instances)
            or _all(by_series, its.series)
            or [scan for scan in near if its.patient in ("", scan.patient)]
        )
        asides += _add(found, [(scan, LabelRef(label.kind, label.path, "")) for scan in hits])
        asides += [] if hits else [_of_nobody(label.path)]
    return asides


def _add_masks(
    found: dict[str, list[LabelRef]], scans: Sequence[ScanRef], labels: Labels
) -> list[SetAside]:
    names = names_of(scans)
    asides: list[SetAside] = []
    for mask in labels.masks:
        hits = called_after(mask, names)
        exact = len(hits) > 1
        refs = [
            (hit.scan, LabelRef(LabelKind.MASK, mask.path, "", "", hit.structure, exact))
            for hit in hits
        ]
        asides += _add(found, refs)
        asides += [] if hits else [_of_nobody(mask.path)]
    return asides


def _index(
    scans: Iterable[ScanRef], keys: Callable[[ScanRef], Iterable[str]]
) -> dict[str, list[ScanRef]]:
    index: dict[str, list[ScanRef]] = {}
    for scan in scans:
        for key in set(keys(scan)) - {""}:
            index.setdefault(key, []).append(scan)
    return index


def _all(index: Mapping[str, list[ScanRef]], keys: Iterable[str]) -> list[ScanRef]:
    hits = {scan.fingerprint: scan for key in keys for scan in index.get(key, ())}
    return [hits[fingerprint] for fingerprint in sorted(hits)]


def _add(
    found: dict[str, list[LabelRef]], refs: Sequence[tuple[ScanRef, LabelRef]]
) -> list[SetAside]:
    """Adds labels, with their fingerprints, to the scans; answers what could not be read."""
    for scan, ref in refs:
        try:
            digest = content_hash((ref.path,), ref.kind, ref.structure, ref.exact)
        except Quarantined as why:
            return [SetAside(why.reason, (ref.path,), why.detail)]
        found.setdefault(scan.fingerprint, []).append(replace(ref, fingerprint=digest))
    return []


def _of_nobody(path: Path) -> SetAside:
    detail = "no scan that was found belongs to this label"
    return SetAside(Reason.LABEL_MISMATCH, (path,), detail)
