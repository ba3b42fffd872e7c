"""Why something at the ingest was set aside: a short list of codes, each with what to do."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The documented reasons for a quarantine."""

    UNREADABLE = "unreadable"
    NOT_AN_IMAGE = "not-an-image"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported-transfer-syntax"
    PIXEL_DATA_DAMAGED = "pixel-data-damaged"
    TOO_LARGE = "too-large"
    EMPTY = "empty"
    NOT_FINITE = "not-finite"
    LOCALISER = "localiser"
    SECONDARY_CAPTURE = "secondary-capture"
    BURNED_IN_TEXT = "burned-in-text"
    COLOUR = "colour"
    UNSUPPORTED_MODALITY = "unsupported-modality"
    NO_GEOMETRY = "no-geometry"
    MIXED_ORIENTATIONS = "mixed-orientations"
    MIXED_SIZES = "mixed-sizes"
    MISSING_SLICES = "missing-slices"
    DUPLICATE_SLICES = "duplicate-slices"
    UNEVEN_SPACING = "uneven-spacing"
    GANTRY_TILT = "gantry-tilt"
    NO_UNITS = "no-units"
    NO_PATIENT = "no-patient"
    MIXED_PATIENTS = "mixed-patients"
    NO_LABEL = "no-label"
    LABEL_MISMATCH = "label-mismatch"
    LABEL_VALUE = "label-value"
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"
    FACE = "face"

    @property
    def sentence(self) -> str:
        """What this code says."""
        return _MEANING[self][0]

    @property
    def remedy(self) -> str:
        """What a person at the site can do about it."""
        return _MEANING[self][1]


_MEANING: dict[Reason, tuple[str, str]] = {
    Reason.UNREADABLE: (
        "the file is damaged, cut short, or may not be read",
        "export it again, or give the ingest permission to read it",
    ),
    Reason.NOT_AN_IMAGE: (
        "the file holds no image: a report, a plan, an index, or something else",
        "nothing to do, unless an image was expected in this place",
    ),
    Reason.UNSUPPORTED_TRANSFER_SYNTAX: (
        "the pixels are compressed in a way that no installed decoder reads",
        "export the series uncompressed (Explicit VR Little Endian)",
    ),
    Reason.PIXEL_DATA_DAMAGED: (
        "the pixels are missing, cut short, or cannot be decoded",
        "export the series again from the PACS",
    ),
    Reason.TOO_LARGE: (
        "the file declares more voxels than the ingest accepts, or than it can hold",
        "look at the file; a true image of that size has to be cut or resampled first",
    ),
    Reason.EMPTY: (
        "the image has no voxels",
        "export the series again from the PACS",
    ),
    Reason.NOT_FINITE: (
        "the voxels, or the geometry, hold NaN or infinity",
        "look at how the image was computed and export it again",
    ),
    Reason.LOCALISER: (
        "the images are a localiser or scout, made for planning",
        "nothing to do; localisers are not trained on",
    ),
    Reason.SECONDARY_CAPTURE: (
        "the images are screenshots or derived displays, not an acquisition",
        "export the original series",
    ),
    Reason.BURNED_IN_TEXT: (
        "text may be burned into the pixels",
        "export the series without annotations, or clean its pixels first",
    ),
    Reason.COLOUR: (
        "the images are in colour",
        "export the greyscale series that they were made from",
    ),
    Reason.UNSUPPORTED_MODALITY: (
        "the modality is not one that the ingest turns into scans",
        "ingest CT, MR, PET or X-ray (CR, DX, MG)",
    ),
    Reason.NO_GEOMETRY: (
        "position, orientation or pixel spacing is missing or makes no sense",
        "export the original series, not a derived or anonymised copy without geometry",
    ),
    Reason.MIXED_ORIENTATIONS: (
        "slices of one series lie in several directions that form no stacks",
        "export each stack as a series of its own",
    ),
    Reason.MIXED_SIZES: (
        "slices of one stack differ in rows, columns or pixel spacing",
        "export each reconstruction as a series of its own",
    ),
    Reason.MISSING_SLICES: (
        "slices are missing from the stack",
        "export the whole series again from the PACS",
    ),
    Reason.DUPLICATE_SLICES: (
        "different slices claim the same place, and nothing tells them apart",
        "export each phase or reconstruction as a series of its own",
    ),
    Reason.UNEVEN_SPACING: (
        "the distance between slices varies more than can be neglected",
        "use a reconstruction with even spacing, or resample the series first",
    ),
    Reason.GANTRY_TILT: (
        "the slices are shifted against each other in a way that no tilt of a gantry explains",
        "look at the series; slices of several acquisitions may have been mixed",
    ),
    Reason.NO_UNITS: (
        "the activity of a PET series cannot be expressed as SUV",
        "export the series with patient weight, injected dose and times, or as SUV",
    ),
    Reason.NO_PATIENT: (
        "the patient is not named, so that scans of one person could not be kept together",
        "export the series with a patient ID or pseudonym",
    ),
    Reason.MIXED_PATIENTS: (
        "slices of one series name different patients",
        "look at the series in the PACS; do not train on it before that is settled",
    ),
    Reason.NO_LABEL: (
        "the task needs a label and none was found for this scan",
        "add the label, or ingest without a task",
    ),
    Reason.LABEL_MISMATCH: (
        "the label does not lie on the scan, or names another one",
        "export label and scan again together",
    ),
    Reason.LABEL_VALUE: (
        "the label holds a value that the study's label map does not name",
        "correct the label, or complete the label map",
    ),
    Reason.DUPLICATE: (
        "the same image is already in the dataset, under this patient or another",
        "nothing to do; two patients with one image should be looked at in the PACS",
    ),
    Reason.WITHDRAWN: (
        "the patient was withdrawn from this site's datasets",
        "nothing to do; the scan is not to be used",
    ),
    Reason.FACE: (
        "the head could not be defaced, though that was asked for",
        "deface the scan by other means, or ingest it without --deface",
    ),
}


class Quarantined(Exception):
    """One scan or file that is set aside; the ingest goes on with the rest."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.sentence)
        self.reason = reason
        self.detail = detail
        """For people at the site only; never in a log or message that leaves it."""
