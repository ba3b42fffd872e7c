"""A scan and its label as the content of a case: what names a person stays behind here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedvox.client.dataset.case import Facts
from fedvox.client.dataset.casefile import Content
from fedvox.client.deid.attributes import Kept, attributes, modality
from fedvox.client.deid.words import is_anatomical, may_stay
from fedvox.client.ingest.labels.label import Label
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import HEAD, Scan

_NAME = re.compile(r"(?!.*\d{5})[A-Za-z0-9][A-Za-z0-9 ._+/()-]{0,47}")
DEFACED = "defaced"
"""Flag: the face was taken out."""
_MOST_VALUES = 4096


@dataclass(frozen=True)
class Recipe:
    """How scans become cases."""

    task: str = ""
    """segmentation or classification: a case needs such a label; empty: it may have any or none."""
    kept: Kept = field(default_factory=Kept)
    deface: bool = False

    @property
    def text(self) -> str:
        """Equal for recipes that make the same of the same files."""
        return f"1 {self.task or '-'} {self.kept.age:d}{self.kept.sex:d}{self.deface:d}"


def content_of(scan: Scan, label: Label | None, recipe: Recipe) -> Content:
    """What is kept; Quarantined where it cannot be used."""
    from fedvox.client.deid.heads import looks_like_head

    image = _checked(scan)
    flags = set(scan.flags) | (set(label.flags) if label is not None else set())
    if HEAD not in flags and looks_like_head(image, scan.affine, scan.modality):
        flags.add(HEAD)
    label_map = _label_map(label, image, recipe.task)
    if recipe.deface and HEAD in flags:
        image, label_map = _defaced(image, label_map, scan)
        flags.add(DEFACED)
    names = names_in_identifier(scan.patient)
    class_name = _class_name(label, names)
    facts = Facts(
        shape=tuple(map(int, image.shape)),
        dtype=str(image.dtype),
        spacing_mm=tuple(round(float(mm), 6) for mm in np.linalg.norm(scan.affine[:3, :3], axis=0)),
        axes=_axes(scan.affine),
        modality=modality(scan.modality) or "OT",
        label="map" if label_map is not None else "class" if class_name else "",
        values=() if label_map is None else _values(label_map),
        names={} if label is None else _names(label.names, names),
        class_name=class_name,
        flags=tuple(sorted(flags)),
        attributes=attributes(scan.technical, recipe.kept),
    )
    return Content(image, np.asarray(scan.affine, dtype=np.float64), label_map, facts)


def _checked(scan: Scan) -> npt.NDArray[np.float32] | npt.NDArray[np.int16]:
    image = scan.image
    if image.ndim != 4 or not image.size:
        raise Quarantined(Reason.EMPTY, "no voxels")
    if not np.isfinite(scan.affine).all():
        raise Quarantined(Reason.NOT_FINITE, "the geometry is not finite")
    if image.dtype == np.int16:
        return image.astype(np.int16, copy=False)
    found = image.astype(np.float32, copy=False)
    if not np.isfinite(found).all():
        raise Quarantined(Reason.NOT_FINITE, "voxels are not finite")
    return found


def _label_map(
    label: Label | None, image: npt.NDArray[np.generic], task: str
) -> npt.NDArray[np.int16] | None:
    found = label.map if label is not None else None
    is_map = isinstance(found, np.ndarray)
    if (task == "segmentation" and not is_map) or (
        task == "classification" and not isinstance(found, str)
    ):
        raise Quarantined(Reason.NO_LABEL, f"{task} needs a label of its kind")
    if not isinstance(found, np.ndarray):
        return None
    if found.shape != image.shape[1:]:
        raise Quarantined(Reason.LABEL_MISMATCH, f"{found.shape} is not {image.shape[1:]}")
    return found


def _class_name(label: Label | None, names: frozenset[str]) -> str:
    if label is None or not isinstance(label.map, str):
        return ""
    name = label.map.strip()
    if not _NAME.fullmatch(name) or not may_stay(name, names):
        raise Quarantined(Reason.LABEL_VALUE, f"{name!r} cannot name a class")
    return name


def _names(names: Mapping[int, str], own: frozenset[str]) -> dict[int, str]:
    """The names of structures that read as such; a person wrote them."""
    plain = {value: name.strip() for value, name in names.items()}
    return {
        int(value): name
        for value, name in plain.items()
        if is_anatomical(name) and may_stay(name, own)
    }


def _values(label: npt.NDArray[np.int16]) -> tuple[int, ...]:
    if label.min() >= 0:
        values = np.flatnonzero(np.bincount(label.reshape(-1, order="A")))
    else:
        values = np.unique(label)
    if len(values) > _MOST_VALUES:
        raise Quarantined(Reason.LABEL_VALUE, f"{len(values)} values are no label map")
    return tuple(map(int, values))


def names_in_identifier(patient: str) -> frozenset[str]:
    """The words of an identifier that may not stand in any text that is kept."""
    return frozenset(word for word in re.split(r"[\W_]+", patient.lower()) if len(word) >= 3)


def _axes(affine: npt.NDArray[np.float64]) -> str:
    import nibabel

    return "".join(code or "?" for code in nibabel.aff2axcodes(affine))


def _defaced(
    image: npt.NDArray[np.float32] | npt.NDArray[np.int16],
    label: npt.NDArray[np.int16] | None,
    scan: Scan,
) -> tuple[npt.NDArray[np.float32] | npt.NDArray[np.int16], npt.NDArray[np.int16] | None]:
    from fedvox.client.deid.deface import CannotDeface, face_of, without_face

    try:
        face = face_of(image, scan.affine, scan.modality)
    except CannotDeface as error:
        raise Quarantined(Reason.FACE, str(error)) from None
    kept = None if label is None else np.where(face, np.int16(0), label).astype(np.int16)
    return without_face(image, face), kept
