"""What the names of files say: which are masks, of which image, of which structure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.volumes.formats import stem

_MASK_FOLDER = re.compile(
    r"labels?(tr|ts|val)?|masks?|segmentations?|segs?|rois?|annotations?", re.I
)
_IMAGE_FOLDER = re.compile(r"(images?|scans?|volumes?)(tr|ts|val)?", re.I)
_MASK_WORD = r"masks?|d?seg|segmentations?|labels?|rois?|gt|annotations?"
_IMAGE_WORD = r"images?|img|scan|volume|data"
_MASK_END = re.compile(rf"(?:^|[_\-.])(?:{_MASK_WORD})$", re.I)
_IMAGE_END = re.compile(rf"(?:^|[_\-.])(?:{_IMAGE_WORD})$", re.I)
_CHANNEL = re.compile(r"_000\d$")
_ENTITY = re.compile(r"(?:^|_)([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")
_OF_THE_MASK = (
    "desc",
    "label",
    "space",
    "res",
    "den",
    "seg",
    "atlas",
    "hemi",
    "split",
    "from",
    "to",
)
"""BIDS entities that a derivative has and its source has not."""


@dataclass(frozen=True)
class Named:
    """A file, as its name and its folders describe it."""

    path: Path
    key: str
    """What image and mask have in common."""
    is_mask: bool

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.path.parent


def named(path: Path, is_mask: bool = False) -> Named:
    """What the name says; `is_mask` where the person has said so already."""
    name = stem(path)
    mask_name = _MASK_END.search(name) is not None or path.name.lower().split(".")[1:2] == ["seg"]
    in_masks = _in_masks(path) and not _IMAGE_END.search(name)
    derived = "derivatives" in path.parts and bool(entities(path).get("sub"))
    key = _IMAGE_END.sub("", _MASK_END.sub("", name))
    return Named(path, key or path.parent.name, is_mask or mask_name or in_masks or derived)


def _in_masks(path: Path) -> bool:
    """Whether its folder is one of masks, or lies in one as one of several patients' folders."""
    if _MASK_FOLDER.fullmatch(path.parent.name):
        return True
    within = _MASK_FOLDER.fullmatch(path.parent.parent.name) is not None
    return within and _IMAGE_FOLDER.fullmatch(path.parent.name) is None


def entities(path: Path) -> dict[str, str]:
    """BIDS's pairs of key and value, in the order of the name; none where it is no such name."""
    name = stem(path)
    return dict(_ENTITY.findall(name)) if name.startswith("sub-") else {}


def patient_key(key: str) -> str:
    """A key without the number of a channel, as nnU-Net appends it."""
    return _CHANNEL.sub("", key)


def structure_of(mask: Named, image: Named) -> str | None:
    """The structure that a mask of this image shows, "" for the only one; None for another's."""
    ours, its = entities(image.path), entities(mask.path)
    if ours and its:
        same = all(ours.get(k) == v for k, v in its.items() if k not in _OF_THE_MASK)
        return its.get("label", its.get("desc", "")) if same and ours["sub"] == its["sub"] else None
    for key in (image.key, patient_key(image.key)):
        if mask.key == key:
            return ""
        rest = mask.key[len(key) :]
        # "p1_2" is another patient's, "p1_liver" a structure of this one.
        if mask.key.startswith(key) and rest[0] in "_-." and rest[1:2].isalpha():
            return rest[1:]
    return None


def distance(mask: Named, image: Named) -> int:
    """How far apart they lie: 0 in one folder, 1 in folders side by side or of one name, 2 in a
    folder of the other's, 3 anywhere."""
    if mask.folder == image.folder:
        return 0
    if mask.folder.parent == image.folder.parent or mask.folder.name == image.folder.name:
        return 1
    near = mask.folder.parent == image.folder or image.folder.parent == mask.folder
    return 2 if near else 3
