"""A folder of images as a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from fedvox.client.ingest.volumes.formats import files_of
from fedvox.common.errors import DataError
from fedvox.common.study.schema import Study
from fedvox.common.volume import Aside, CaseError, Volume
from fedvox.simulations.naming import natural, safe
from fedvox.simulations.sources.columns import Columns, read_columns
from fedvox.simulations.sources.files import read_case
from fedvox.simulations.sources.listing import Entry, Listing, list_folder
from fedvox.simulations.sources.source import CaseRef, Suggestions
from fedvox.simulations.sources.survey import label_values, survey

_LOOKED_AT = 12
"""Headers (or label files) that suggestions are made from."""


@dataclass(frozen=True)
class FolderSource:
    """Images in a folder; labels are files, or a column `class` of the table beside them."""

    folder: Path
    kind: str
    dims: int
    class_names: tuple[str, ...]
    """Of classification; empty for segmentation."""
    usable: Mapping[str, Entry]
    refs: tuple[CaseRef, ...]
    set_aside: tuple[tuple[str, CaseError], ...]
    listing: Listing

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    def cases(self) -> Sequence[CaseRef]:
        """The usable cases."""
        return self.refs

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """Cases without a label or an image, and duplicates."""
        return self.set_aside

    def fingerprint(self, ref: CaseRef) -> str:
        """Path, size and time of change of the files, and the class."""
        entry = self.usable[ref.case]
        parts: list[object] = [self.kind, self.dims, ref.columns.get("class", "")]
        if self.kind == "classification":
            parts.append(self.class_names)
        given = [path for path in (entry.image, entry.label) if path is not None and path.is_file()]
        for part in (part for path in given for part in files_of(path)):
            stat = part.stat()
            parts += [str(part.resolve()), stat.st_size, stat.st_mtime_ns]
        return sha256(repr(parts).encode()).hexdigest()

    def load(self, ref: CaseRef) -> Volume:
        """Reads image and label."""
        entry = self.usable[ref.case]
        if self.kind == "classification":
            return read_case(entry.image, self.class_names.index(ref.columns["class"]), self.dims)
        if entry.label is None:
            raise CaseError(Aside.NO_LABEL, "no label file")
        return read_case(entry.image, entry.label, self.dims)

    def suggests(self) -> Suggestions:
        """Classes, channels, patch and (where images differ) spacing and orientation."""
        return self._suggestions

    @cached_property
    def _suggestions(self) -> Suggestions:
        images = [self.usable[ref.case].image for ref in _some(self.refs)]
        data = survey(images, self.listing.channels)
        task: dict[str, Any] = {"kind": self.kind}
        if self.kind == "classification":
            task["classes"] = list(self.class_names)
            data["size"] = data.pop("patch", [32] * self.dims)
        else:
            task["classes"], label_map = self._classes(data.get("dims", self.dims))
            if label_map:
                data["label_map"] = label_map
        return {"study": {"name": safe(self.name, "study")}, "task": task, "data": data}

    def _classes(self, dims: int) -> tuple[list[str], dict[str, int]]:
        named = self.listing.labels or label_values(self._some_labels(), dims)
        values = sorted(named)
        names = [named[value] for value in values]
        contiguous = values == list(range(len(values)))
        return names, {} if contiguous else {str(value): at for at, value in enumerate(values)}

    def _some_labels(self) -> list[Path]:
        labels = (self.usable[ref.case].label for ref in _some(self.refs))
        return [label for label in labels if label is not None]


def open_folder(folder: Path, study: Study) -> FolderSource:
    """The source in `folder`; DataError where nothing in it can be used."""
    listing, columns = list_folder(folder), read_columns(folder)
    kind = study.task.kind
    labelled = any(entry.label is not None for entry in listing.entries)
    told = any("class" in row for row in columns.rows.values())
    if told and not labelled:
        kind = "classification"
    if kind == "classification" and not told:
        raise DataError(
            f"data.source: {folder}: classification needs a column 'class' in cases.csv"
        )
    entries, set_aside = _without_duplicates(listing.entries)
    refs = {entry.case: columns.ref(entry.case) for entry in entries}
    names = _class_names(study, refs.values()) if kind == "classification" else ()
    good, unlabelled = {}, []
    for entry in entries:
        error = _unusable(entry, refs[entry.case], kind, names)
        if error:
            unlabelled.append((entry.case, error))
        else:
            good[entry.case] = entry
    set_aside += unlabelled + _without_image(columns, listing)
    if not good:
        why = f" (first: {set_aside[0][0]}: {set_aside[0][1]})" if set_aside else ""
        raise DataError(f"data.source: {folder}: holds no usable case{why}")
    usable_refs = tuple(refs[case] for case in sorted(good))
    set_aside.sort(key=lambda item: item[0])
    return FolderSource(
        folder, kind, study.data.dims, names, good, usable_refs, tuple(set_aside), listing
    )


def _unusable(entry: Entry, ref: CaseRef, kind: str, names: Sequence[str]) -> CaseError | None:
    if not entry.image.is_file():
        return CaseError(Aside.UNREADABLE, f"image {entry.image.name} is not there")
    if kind == "classification":
        found = ref.columns.get("class", "")
        if not found:
            return CaseError(Aside.NO_LABEL, "the table names no class for it")
        if found not in names:
            return CaseError(Aside.LABEL_VALUE, f"class {found!r} is not one of task.classes")
    elif entry.label is None or not entry.label.is_file():
        return CaseError(Aside.NO_LABEL, "no label file")
    return None


def _without_image(columns: Columns, listing: Listing) -> list[tuple[str, CaseError]]:
    if columns.by != "case":
        return []
    missing = sorted(set(columns.rows) - {entry.case for entry in listing.entries})
    return [(c, CaseError(Aside.UNREADABLE, f"in {columns.file}, no image")) for c in missing]


def _without_duplicates(
    entries: Sequence[Entry],
) -> tuple[list[Entry], list[tuple[str, CaseError]]]:
    """The first of each case and of each image content; patients under two names would leak."""
    kept: dict[str, Entry] = {}
    aside: list[tuple[str, CaseError]] = []
    sizes: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.case in kept:
            aside.append((entry.case, CaseError(Aside.DUPLICATE, "this case stands twice")))
            continue
        kept[entry.case] = entry
        if entry.image.is_file():
            sizes.setdefault(entry.image.stat().st_size, []).append(entry)
    for alike in sizes.values():
        seen: dict[str, str] = {}
        for entry in alike if len(alike) > 1 else ():
            first = seen.setdefault(_content(entry.image), entry.case)
            if first != entry.case:
                del kept[entry.case]
                aside.append((entry.case, CaseError(Aside.DUPLICATE, f"same image as {first}")))
    return list(kept.values()), aside


def _content(path: Path) -> str:
    with files_of(path)[-1].open("rb") as file:  # a header may differ where the voxels do not
        return file_digest(file, "sha256").hexdigest()


def _class_names(study: Study, refs: Iterable[CaseRef]) -> tuple[str, ...]:
    if study.task.classes:
        return study.task.classes
    return tuple(sorted({ref.columns.get("class", "") for ref in refs} - {""}, key=natural))


def _some(refs: Sequence[CaseRef]) -> Sequence[CaseRef]:
    return refs[:: max(1, len(refs) // _LOOKED_AT)][:_LOOKED_AT]
