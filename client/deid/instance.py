"""One DICOM file, de-identified."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvox.client.deid.pixels import blacken, may_hold_text
from fedvox.client.deid.profile import Options
from fedvox.client.deid.scrub import Scrubber
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.deid.words import names_in
from fedvox.client.ingest.reasons import Quarantined, Reason

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_LABELS = frozenset(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("66.4", "66.7", "481.3"))
_OWN_UID = "2.25.184632440417210223287323410996235643941"
"""What wrote the file: any fedvox."""
_METHODS = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "blank": ("113101", "Clean Pixel Data Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
}


@dataclass(frozen=True)
class Instance:
    """A de-identified file, ready to be written."""

    dataset: FileDataset
    name: Path
    """Where it belongs, made of pseudonym and remapped UIDs."""
    counts: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    """Attributes whose values made no sense."""


def deidentified(path: Path, key: SiteKey, options: Options) -> Instance:
    """The file without what may name a person; Quarantined where it cannot be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the values that they warn of
        dataset = _read(path)
        blanked = _check(dataset, options)
        patient = str(dataset.get("PatientID", "") or "").strip(" \0")
        if not patient:
            raise Quarantined(Reason.NO_PATIENT, "no PatientID")
        scrubber = Scrubber(key, options, patient, names_in(dataset))
        if blanked:
            blacken(dataset, options.blank)
        scrubber.scrub(dataset)
        _mark(dataset, options, blanked)
        _new_meta(dataset)
        series, uid = key.token("folder", str(dataset.SeriesInstanceUID)), dataset.SOPInstanceUID
        name = Path(key.pseudonym(patient)) / series[:16] / f"{uid}.dcm"
        return Instance(dataset, name, scrubber.counts, scrubber.unreadable)


def _read(path: Path) -> FileDataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path)
    except InvalidDicomError:
        raise Quarantined(Reason.NOT_AN_IMAGE, "no DICOM file") from None
    except Exception as error:  # a damaged file makes the parser raise anything
        raise Quarantined(Reason.UNREADABLE, type(error).__name__) from None


def _check(dataset: FileDataset, options: Options) -> bool:
    """Whether the pixels are to be blackened; Quarantined for what is not passed on."""
    sop_class = str(dataset.get("SOPClassUID", "") or "")
    has_pixels = any(f"{kind}PixelData" in dataset for kind in ("", "Float", "DoubleFloat"))
    if not has_pixels and sop_class not in _LABELS:
        raise Quarantined(Reason.NOT_AN_IMAGE, "neither image, segmentation nor contours")
    from pydicom.uid import UID

    if UID(sop_class).is_private or not UID(sop_class).is_valid:
        raise Quarantined(Reason.UNSUPPORTED_MODALITY, "a private kind of object")
    if not dataset.get("SOPInstanceUID") or not dataset.get("SeriesInstanceUID"):
        raise Quarantined(Reason.UNREADABLE, "no SOPInstanceUID or SeriesInstanceUID")
    text = may_hold_text(dataset) if sop_class not in _LABELS else None
    if text is not None and not options.blank:
        raise Quarantined(text, "no region to blacken was given")
    return text is not None


def _mark(dataset: FileDataset, options: Options, blanked: bool) -> None:
    """Says in the file what was done to it, as the profile asks."""
    from pydicom.dataset import Dataset

    done = [name for name in ("device", "patient", "dates") if getattr(options, name)]
    # Structures keep names that are anatomy's: that is what the option for descriptors says.
    cleaned = ["descriptors"] if str(dataset.get("SOPClassUID", "")) in _LABELS else []
    names = ["basic", *(["blank"] if blanked else []), *cleaned, *done]
    items = []
    for value, meaning in (_METHODS[name] for name in names):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "fedvox site deid"
    dataset.DeidentificationMethodCodeSequence = items
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if options.dates else "REMOVED"
    if blanked:
        dataset.BurnedInAnnotation = "NO"


def _new_meta(dataset: FileDataset) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    old: Any = dataset.file_meta
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = old.TransferSyntaxUID
    meta.ImplementationClassUID = UID(_OWN_UID)
    meta.ImplementationVersionName = "FEDVOX"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
