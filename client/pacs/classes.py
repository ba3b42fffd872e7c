"""What is taken from a PACS: the storage classes, and the encodings that can be read."""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."

IMAGES = tuple(
    _STORAGE + end
    for end in (
        "2", "2.1", "2.2",  # CT, enhanced, converted
        "4", "4.1", "4.4",  # MR, enhanced, converted
        "128", "128.1", "130",  # PET, converted, enhanced
        "1", "1.1", "1.1.1", "1.2", "1.2.1",  # CR, DX, mammography
        "13.1.3",  # breast tomosynthesis
        "7", "7.1", "7.2", "7.3", "7.4",  # captures: a PACS may give up a study without them
    )
)  # fmt: skip
"""Image storage. What of it is not trained on, the ingest sets aside with its reason."""

LABELS = (f"{_STORAGE}66.4", f"{_STORAGE}66.7", f"{_STORAGE}481.3")
"""Segmentations, label maps, structure sets."""

STORED = IMAGES + LABELS

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
_COMPRESSED = (
    "4.70", "4.57",  # JPEG lossless
    "4.80", "4.81",  # JPEG-LS
    "4.90", "4.91",  # JPEG 2000
    "4.201", "4.202", "4.203",  # high-throughput JPEG 2000
    "5",  # run lengths
    "4.50", "4.51",  # JPEG with losses
)  # fmt: skip

SYNTAXES = (
    EXPLICIT,
    IMPLICIT,
    f"{EXPLICIT}.99",  # deflated
    "1.2.840.10008.1.2.2",  # big endian
    *(f"{IMPLICIT}.{end}" for end in _COMPRESSED),
)
"""Transfer syntaxes that the ingest decodes, those without losses first."""
