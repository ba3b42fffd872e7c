"""What a DICOM file is, by what its header says: a scan's part, a label, or something set aside."""

from __future__ import annotations

import re

from fedvox.client.ingest.reading.frames import Common
from fedvox.client.ingest.reading.header import Header
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reasons import Quarantined, Reason

MODALITIES = frozenset({"CT", "MR", "PT", "CR", "DX", "MG"})
PROJECTIONS = frozenset({"CR", "DX", "MG"})

_DICOMDIR = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_LABELS = {
    f"{_STORAGE}66.4": "SEG",
    f"{_STORAGE}66.7": "SEG",
    f"{_STORAGE}481.3": "RTSTRUCT",
}
_CAPTURES = frozenset(f"{_STORAGE}7{end}" for end in ("", ".1", ".2", ".3", ".4"))
_LOCALISER_TYPES = frozenset({"LOCALIZER", "SCOUT", "SCANOGRAM", "TOPOGRAM"})
_CAPTURE_TYPES = frozenset({"SCREEN SAVE", "SCREENSAVE", "SECONDARY CAPTURE"})
_LOCALISER_NAME = re.compile(
    r"(?<![a-z])(locali[sz]er|loc|scout|survey|topogram|surview|scanogram|3-?pl(ane)?[ _]?loc\w*)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_HEAD = re.compile(
    r"(?<![a-z])(head|brain|skull|face|facial|cranium|cranial|neuro|orbit|sinus|schaedel|kopf|"
    r"crane|cerveau|hirn)",
    re.IGNORECASE,
)


def is_index(header: Header) -> bool:
    """Whether the file is a DICOMDIR, which only lists others."""
    return header.text(Tag.MEDIA_SOP_CLASS) == _DICOMDIR


def label_kind(header: Header) -> str:
    """SEG or RTSTRUCT where the file labels scans, else ""."""
    sop_class = header.text(Tag.SOP_CLASS) or header.text(Tag.MEDIA_SOP_CLASS)
    return _LABELS.get(sop_class, "")


def check_kind(common: Common, has_pixels: bool) -> None:
    """Quarantined where frames of this sort are not made into scans."""
    header = common.header
    if not has_pixels or not (common.rows and common.columns):
        if common.modality in MODALITIES:
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "an image without pixels")
        raise Quarantined(Reason.NOT_AN_IMAGE, f"modality {common.modality or '?'}")
    if header.text(Tag.BURNED_IN).upper() == "YES":
        raise Quarantined(Reason.BURNED_IN_TEXT, "BurnedInAnnotation is YES")
    if common.modality in ("US", "ECG", "IVUS"):
        raise Quarantined(Reason.BURNED_IN_TEXT, "ultrasound shows text in its pixels")
    if common.sop_class in _CAPTURES or _CAPTURE_TYPES & set(common.image_type):
        raise Quarantined(Reason.SECONDARY_CAPTURE, "by its SOP class or image type")
    if common.modality not in MODALITIES:
        raise Quarantined(Reason.UNSUPPORTED_MODALITY, f"modality {common.modality or '?'}")
    if common.samples != 1 or not common.photometric.startswith("MONOCHROME"):
        raise Quarantined(Reason.COLOUR, f"{common.photometric or '?'}, {common.samples} samples")
    if "MOSAIC" in common.image_type:
        raise Quarantined(Reason.NO_GEOMETRY, "slices tiled into one image (mosaic)")
    named = _LOCALISER_NAME.search(header.text(Tag.SERIES_DESCRIPTION))
    if _LOCALISER_TYPES & set(common.image_type) or named:
        raise Quarantined(Reason.LOCALISER, "by its image type or series description")
    if not common.patient:
        raise Quarantined(Reason.NO_PATIENT, "no PatientID")


def shows_head(common: Common) -> bool:
    """Whether body part or descriptions name the head."""
    tags = (Tag.BODY_PART, Tag.SERIES_DESCRIPTION, Tag.STUDY_DESCRIPTION)
    return any(_HEAD.search(common.header.text(tag)) for tag in tags)
