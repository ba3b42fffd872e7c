"""The scans below some paths, each with the label that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from fedvox.client.ingest.labels.gather import gather
from fedvox.client.ingest.labels.label import Label, LabelRef
from fedvox.client.ingest.labels.match import match
from fedvox.client.ingest.labels.reading import read_label
from fedvox.client.ingest.reading.find import find
from fedvox.client.ingest.reading.walk import real
from fedvox.client.ingest.scan import Findings, Scan, ScanRef, SetAside
from fedvox.client.ingest.volumes.formats import head_of
from fedvox.client.ingest.volumes.pictures import is_picture
from fedvox.common.errors import InputError


@dataclass(frozen=True)
class LabelWish:
    """Which labels are wanted, and how their structures are numbered."""

    values: Mapping[str, int] = field(default_factory=dict)
    """Name or number of a structure -> value in the store; empty: all, by their numbers."""
    column: str = ""
    """Column of a table that holds the class; empty: the one that is called so."""
    attribute: str = ""
    """DICOM attribute that holds the class; empty: none."""


@dataclass(frozen=True)
class LabelOf:
    """A label that was found for a scan and not yet read."""

    fingerprint: str
    read: Callable[[Scan], Label]


@dataclass(frozen=True)
class Sought:
    """What there is to import."""

    scans: tuple[ScanRef, ...]
    set_aside: tuple[SetAside, ...]
    labels: Mapping[str, LabelOf]
    """By the scan's fingerprint."""
    files_read: int

    def label_of(self, ref: ScanRef) -> LabelOf | None:
        """The label of a scan; None where it has none."""
        return self.labels.get(ref.fingerprint)


def seek(sources: Sequence[Path], labels: Sequence[Path], wish: LabelWish) -> Sought:
    """Finds scans below `sources`, and their labels there and below `labels`.

    InputError for an attribute or a column of classes that there is not.
    """
    _check_attribute(wish.attribute)
    images = find(sources)
    given = {real(path) for path in sources}
    apart = [real(path) for path in labels if real(path) not in given]
    told = find(apart) if apart else Findings()
    scans = tuple(ref for ref in images.scans if not _lies_below(ref.files, apart))
    gathered = gather(images, told, wish.column, wish.attribute)
    if wish.column and not gathered.tables:
        raise InputError(
            f"--class-column {wish.column}: no table (.csv, .tsv) beside the images or the labels "
            "has such a column with a value in it, and one that says what a row is about (file, "
            "patient, series_uid); look at the table's first line"
        )
    matched = match(scans, gathered)
    asides = (*images.set_aside, *_of_labels(told, images), *matched.set_aside)
    found = {ref.fingerprint: _label(matched.of(ref), wish) for ref in scans if matched.of(ref)}
    return Sought(scans, asides, found, images.files_read + told.files_read)


def _check_attribute(keyword: str) -> None:
    from pydicom.datadict import keyword_dict

    if keyword and keyword not in keyword_dict:
        raise InputError(
            f"--class-attribute {keyword}: DICOM has no attribute of this keyword"
            f"{_meant(keyword, keyword_dict)}; give one such as BodyPartExamined"
        )


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _label(refs: Sequence[LabelRef], wish: LabelWish) -> LabelOf:
    parts = [*sorted(ref.fingerprint for ref in refs), repr(sorted(wish.values.items()))]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return LabelOf(digest, lambda scan: read_label(scan, refs, wish.values))


def _lies_below(files: Sequence[Path], folders: Sequence[Path]) -> bool:
    """Whether files that were taken for images are in a folder that was named for labels."""
    return any(real(path).is_relative_to(folder) for path in files for folder in folders)


def _of_labels(told: Findings, images: Findings) -> Iterator[SetAside]:
    """What could not be used below the labels; pictures can, and nothing is told twice."""
    before = {real(path) for aside in images.set_aside for path in aside.files}
    for aside in told.set_aside:
        files = [path for path in aside.files if real(path) not in before]
        if files and not all(is_picture(head_of(path)) for path in files):
            yield aside
