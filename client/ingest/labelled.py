"""The scans below some paths, each with the label that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.labels.label import Label
from fedvox.client.ingest.reading.find import find
from fedvox.client.ingest.scan import Scan, ScanRef, SetAside


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
    labels: Mapping[int, LabelOf]
    """Of scans, by identity."""
    files_read: int

    def label_of(self, ref: ScanRef) -> LabelOf | None:
        """The label of a scan; None where it has none."""
        return self.labels.get(id(ref))


def seek(sources: Sequence[Path], labels: Sequence[Path]) -> Sought:
    """Finds scans below `sources`, and their labels there and below `labels`."""
    found = find(sources)
    return Sought(found.scans, found.set_aside, {}, found.files_read)
