"""A MedMNIST .npz as a source: one image a patient, one class an image."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from fedvox.common.errors import DataError
from fedvox.common.volume import Aside, CaseError, Volume
from fedvox.simulations.naming import safe
from fedvox.simulations.sources.medmnist_sets import SETS
from fedvox.simulations.sources.source import CaseRef, Suggestions

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Name in the file -> name in a partition."""


class MedMnist:
    """All images of the file; the official split is the column `split`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._pixels: dict[str, npt.NDArray[np.generic]] = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                self._classes = {
                    split: _class_indices(file[f"{split}_labels"], path)
                    for split in _SPLITS
                    if f"{split}_labels" in file.files
                }
            self._shape, self._rows = _image_headers(path, self._classes)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(
                f"data.source: {path}: not a MedMNIST file ({error}); it needs train_images, "
                "train_labels and so on; if it was cut short, fetch it again"
            ) from None

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return self._path.stem

    def suggests(self) -> Suggestions:
        """Classification of whole images of the file's size."""
        coloured = self._shape[-1] == 3 and len(self._shape) > 2
        size = list(self._shape[:-1] if coloured else self._shape)
        data = {
            "dims": len(size),
            "channels": 3 if coloured else 1,
            "size": size,
            "normalise": "zscore",
        }
        task = {"kind": "classification", "classes": list(self._names)}
        return {"study": {"name": safe(self.name, "medmnist")}, "task": task, "data": data}

    def cases(self) -> Sequence[CaseRef]:
        """One case an image."""
        return self._cases

    @cached_property
    def _cases(self) -> tuple[CaseRef, ...]:
        refs = []
        for split, classes in self._classes.items():
            for row, found in enumerate(classes[: self._rows[split]].tolist()):
                case = f"{split}-{row:06d}"
                columns = {"split": _SPLITS[split], "class": self._names[found]}
                refs.append(CaseRef(case, case, columns))
        return tuple(sorted(refs, key=lambda ref: ref.case))

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """Images beyond the end of the labels, or the other way round."""
        found = []
        for split, classes in self._classes.items():
            for row in range(self._rows[split], len(classes)):
                error = CaseError(Aside.UNREADABLE, "a label without an image")
                found.append((f"{split}-{row:06d}", error))
            for row in range(len(classes), self._rows[split]):
                error = CaseError(Aside.NO_LABEL, "an image without a label")
                found.append((f"{split}-{row:06d}", error))
        return found

    def fingerprint(self, ref: CaseRef) -> str:
        """Path, size and time of change of the file, and the case."""
        stat = self._path.stat()
        parts = (str(self._path.resolve()), stat.st_size, stat.st_mtime_ns, ref.case)
        return sha256(repr(parts).encode()).hexdigest()

    def load(self, ref: CaseRef) -> Volume:
        """The image and its class index."""
        split, row = ref.case.split("-")
        try:
            pixels = self._images(split)[int(row)]
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise CaseError(Aside.UNREADABLE, f"{split}_images: {error}") from None
        image = np.asarray(pixels, dtype=np.float32)
        coloured = image.shape[-1] == 3 and image.ndim > 2
        image = np.moveaxis(image, -1, 0) if coloured else image[None]
        if not np.isfinite(image).all():
            raise CaseError(Aside.NOT_FINITE, "the image holds NaN or infinity")
        return Volume(np.ascontiguousarray(image), np.eye(4), int(self._classes[split][int(row)]))

    @property
    def _names(self) -> tuple[str, ...]:
        count = max(int(classes.max(initial=0)) for classes in self._classes.values()) + 1
        known = SETS.get(re.sub(r"_\d+$", "", self.name))
        if known and len(known.classes) >= count:
            return known.classes
        return tuple(str(number) for number in range(max(count, 2)))

    def _images(self, split: str) -> npt.NDArray[np.generic]:
        """All images of a split: the file is compressed, one image alone cannot be read."""
        with self._lock:
            if split not in self._pixels:
                with np.load(self._path, allow_pickle=False) as file:
                    self._pixels[split] = file[f"{split}_images"]
            return self._pixels[split]


def _class_indices(labels: npt.NDArray[np.generic], path: Path) -> npt.NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"data.source: {path}: images have {labels.shape[1]} labels each; only one class an "
            "image can be predicted (chestmnist is multi-label)"
        )
    return labels.reshape(len(labels)).astype(np.int64)


def _image_headers(
    path: Path, splits: Sequence[str] | dict[str, npt.NDArray[np.int64]]
) -> tuple[tuple[int, ...], dict[str, int]]:
    """Shape of one image and number of images by split, from the headers alone."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for split in splits:
            with archive.open(f"{split}_images.npy") as member:
                version = np.lib.format.read_magic(member)
                reader = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shapes[split] = reader(member)[0]
    inner = {shape[1:] for shape in shapes.values()}
    if len(inner) != 1:
        raise ValueError(f"splits differ in image size: {sorted(inner)}")
    shape = inner.pop()
    if not 2 <= len(shape) <= 4:
        raise ValueError(f"images have shape {shape}")
    return shape, {split: whole[0] for split, whole in shapes.items()}
