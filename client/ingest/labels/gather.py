"""All labels that were found, as far as their headers and names tell, before any is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.ingest.labels.label import LabelKind
from fedvox.client.ingest.labels.objects import References, references_of
from fedvox.client.ingest.reasons import Quarantined
from fedvox.client.ingest.scan import Findings, LabelFile, SetAside
from fedvox.client.ingest.volumes.formats import format_of, head_of
from fedvox.client.ingest.volumes.naming import Named, named
from fedvox.client.ingest.volumes.pictures import is_picture
from fedvox.client.ingest.volumes.reading import NAME
from fedvox.client.ingest.volumes.tables import CLASS, Table, read_table

_TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class LabelObject:
    """A SEG or RTSTRUCT file and the images it names."""

    path: Path = field(repr=False)
    kind: LabelKind
    references: References


@dataclass(frozen=True)
class Labels:
    """Everything that could label a scan."""

    objects: tuple[LabelObject, ...] = ()
    masks: tuple[Named, ...] = ()
    tables: tuple[Table, ...] = ()
    column: str = ""
    """The column of the tables that holds the class."""
    attribute: str = ""
    """The DICOM attribute that holds the class; empty: none does."""
    set_aside: tuple[SetAside, ...] = ()
    """Label files that cannot be read."""


def gather(
    images: Findings, labels: Findings | None = None, column: str = "", attribute: str = ""
) -> Labels:
    """The labels among what was found with the images, and all that lies where labels should be.

    In `labels` every volume is a mask, whatever it is called.
    """
    told = labels or Findings()
    objects, asides = _objects([*images.labels, *told.labels])
    said = [path for ref in told.scans if ref.reader == NAME for path in ref.files[:1]]
    # A mask in a picture's format is listed in no table, and so was no image to the reader.
    said += [p for aside in told.set_aside for p in aside.files if is_picture(head_of(p))]
    masks = [named(path) for path in _masks(images.companions)]
    masks += [named(path, is_mask=True) for path in (*said, *_masks(told.companions))]
    every = (*images.companions, *told.companions)
    tables = _tables((path for path in every if path.suffix.lower() in _TABLES), column, asides)
    unique = {mask.path.resolve(): mask for mask in masks}
    return Labels(
        tuple(objects), tuple(unique.values()), tuple(tables), column, attribute, tuple(asides)
    )


def _objects(files: Sequence[LabelFile]) -> tuple[list[LabelObject], list[SetAside]]:
    objects: dict[Path, LabelObject] = {}
    asides: list[SetAside] = []
    for file in files:
        path = file.path.resolve()
        if path in objects:
            continue
        try:
            objects[path] = LabelObject(file.path, LabelKind(file.kind), references_of(file.path))
        except Quarantined as why:
            asides.append(SetAside(why.reason, (file.path,), why.detail, file.patient))
    return list(objects.values()), asides


def _masks(companions: Iterable[Path]) -> list[Path]:
    heads = ((path, head_of(path)) for path in companions)
    return [path for path, head in heads if is_picture(head) or format_of(head) is not None]


def _tables(paths: Iterable[Path], column: str, asides: list[SetAside]) -> list[Table]:
    """Tables that say what class something has."""
    sought = {column.lower()} if column else set(CLASS)
    found = []
    for path in sorted({path.resolve() for path in paths}):
        try:
            table = read_table(path)
        except Quarantined as why:
            asides.append(SetAside(why.reason, (path,), why.detail))
            continue
        if table is not None and any(sought & set(row) for row in table.rows.values()):
            found.append(table)
    return found
