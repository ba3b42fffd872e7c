"""The class of a scan, from a table or from an attribute of its DICOM files."""

from __future__ import annotations

from fedvox.client.ingest.labels.gather import Labels
from fedvox.client.ingest.labels.label import LabelKind, LabelRef
from fedvox.client.ingest.labels.objects import attribute, read_object
from fedvox.client.ingest.reasons import Quarantined
from fedvox.client.ingest.scan import ScanRef
from fedvox.client.ingest.volumes.formats import SUFFIXES
from fedvox.client.ingest.volumes.reading import NAME, content_hash
from fedvox.client.ingest.volumes.tables import CLASS, Row, Table


def class_of(scan: ScanRef, labels: Labels) -> LabelRef | None:
    """The class that a table gives the scan, or that stands in the attribute; None for neither."""
    columns = (labels.column.lower(),) if labels.column else CLASS
    for table in labels.tables:
        row = _row(scan, table) or {}
        values = [row[column] for column in columns if row.get(column)]
        # Some tables list the files of masks in a column of that name.
        value = next((v for v in values if not v.lower().endswith(SUFFIXES)), "")
        if value:
            return LabelRef(LabelKind.CLASS, table.path, content_hash((), value), value)
    value = _attribute(scan, labels.attribute)
    if value:
        return LabelRef(LabelKind.CLASS, scan.files[0], content_hash((), value), value)
    return None


def _row(scan: ScanRef, table: Table) -> Row | None:
    if scan.reader == NAME:
        return table.row_of(scan.files[0].resolve()) or table.row(scan.patient)
    return table.row(scan.series_uid, scan.study_uid, scan.patient, scan.files[0].parent.name)


def _attribute(scan: ScanRef, keyword: str) -> str:
    if not keyword or scan.reader == NAME:
        return ""
    try:
        return str(attribute(read_object(scan.files[0], pixels=False), keyword, "")).strip()
    except Quarantined:
        return ""
