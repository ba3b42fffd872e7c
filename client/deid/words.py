"""Which words may be kept: those that mean something to a machine and name nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from fedvox.client.deid import terms
from fedvox.client.deid.attributes import vendor

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LEAST_LETTERS = 3
_CODE_STRING = re.compile(r"[A-Z0-9 _]{0,16}")
_PLAIN = re.compile(r"(?!.*\d{5})[A-Za-z0-9 ._+/%-]{1,64}")
_CODE = re.compile(r"[A-Za-z0-9.-]{1,16}")
_NAMING = (
    "AccessionNumber",
    "CurrentPatientLocation",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientID",
    "PatientInsurancePlanCodeSequence",
    "PatientTelephoneNumbers",
)
"""Attributes beside those of kind PN whose words name a person or a place."""


def names_in(dataset: Dataset) -> frozenset[str]:
    """Every word of the file's own names and identifiers, in lower case."""
    return frozenset(
        word
        for text in _naming_texts(dataset)
        for word in re.split(r"[\W_]+", text.lower())
        if len(word) >= _LEAST_LETTERS
    )


def _naming_texts(dataset: Dataset) -> Iterator[str]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value or ():
                    yield from _naming_texts(item)
            elif element.VR == "PN" or element.keyword in _NAMING:
                yield str(element.value or "")
        except Exception:  # an element that cannot be read is removed, and names nobody
            continue


def may_stay(text: str, names: Iterable[str]) -> bool:
    """Whether none of the names stands in a text."""
    lower = text.lower()
    return not any(name in lower for name in names)


def is_code_string(text: str) -> bool:
    """Whether the text is made as the standard wants of codes."""
    return _CODE_STRING.fullmatch(text) is not None


def cleaned(keyword: str, text: str, names: Iterable[str]) -> str:
    """The text where it may be kept, or what stands for it; empty where it may not."""
    if keyword == "Manufacturer":
        return vendor(text)
    if keyword == "BodyPartExamined":
        word = re.sub(r"[ _]", "", text.upper())
        return word if word in terms.BODY_PARTS else ""
    known = _KNOWN.get(keyword, is_anatomical)
    return text if known(text.strip()) and may_stay(text, names) else ""


def _consists_of(known: frozenset[str]) -> Callable[[str], bool]:
    return lambda text: set(re.split(r"[ _]", text)) <= known


_KNOWN: dict[str, Callable[[str], bool]] = {
    "ImageType": _consists_of(terms.IMAGE_TYPES),
    "FrameType": _consists_of(terms.IMAGE_TYPES),
    "ScanOptions": _consists_of(terms.SCAN_OPTIONS),
    "ConvolutionKernel": lambda text: terms.KERNEL.fullmatch(text) is not None,
    "RescaleType": lambda text: text in terms.RESCALE_TYPES,
    "StackID": lambda text: text.isdecimal() and len(text) < 5,
}


def is_anatomical(text: str) -> bool:
    """Whether every word of a structure's name is one of the vocabulary of medicine."""
    if not _PLAIN.fullmatch(text):
        return False
    found = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return all(len(word) < _LEAST_LETTERS or word in terms.vocabulary() for word in found)


def known_scheme(designator: str) -> bool:
    """Whether codes of this scheme are the same everywhere, and so name nobody."""
    return designator.strip() in terms.SCHEMES


def is_code(text: str) -> bool:
    """Whether a text can be a code's value."""
    return _CODE.fullmatch(text.strip()) is not None


def meaning_of(scheme: str, value: str) -> str:
    """What a standard code means, by the dictionary; the code itself where it is not in it."""
    return terms.meanings().get((scheme.strip(), value.strip()), value)
