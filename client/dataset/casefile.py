"""The file of a case: voxels as they came, label and geometry, named by a hash of all of it.

Voxels lie slice by slice, [channels, z, y, x] on disk, as scanners write them and most readers
hold them: nothing is turned in memory on the way in, and a reader sees [channels, x, y, z] through
a transposed view of the map. Attributes stand in the header. No pseudonym does: whose case it is,
only the manifest knows.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.dataset.case import Facts
from fedvox.common.codec import encoded_parts, mapped
from fedvox.common.errors import ResourceError
from fedvox.common.files import Chunk, sync_folder

_FORMAT = "fedvox case 1"

Image = npt.NDArray[np.float32] | npt.NDArray[np.int16]
Map = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Content:
    """What a case holds, in memory."""

    image: Image
    """[channels, x, y, z]"""
    affine: npt.NDArray[np.float64]
    label: Map | None
    """[x, y, z]; None: there is no label map."""
    facts: Facts


@dataclass(frozen=True)
class Packed:
    """A case ready to be written."""

    key: str
    image_sha256: str
    bytes: int
    """Size of the file."""
    parts: tuple[Chunk, ...] = field(repr=False)


def packed(content: Content) -> Packed:
    """The bytes of a case and their hash; the same content is always the same bytes."""
    image = _by_slice(content.image)
    affine = np.ascontiguousarray(content.affine, dtype=np.float64)
    arrays: dict[str, np.ndarray] = {"image": image, "affine": affine}
    digest = _sha256(image, affine)
    whole = hashlib.sha256(f"{_FORMAT}\n{digest}\n{content.facts.as_text()}\n".encode())
    if content.label is not None:
        label = _by_slice(_narrow(content.label))
        arrays["label"] = label
        whole.update(_sha256(label).encode())
    notes = {"facts": content.facts.as_text()}
    parts = tuple(encoded_parts(arrays, notes))
    return Packed(whole.hexdigest(), digest, sum(map(len, parts)), parts)


def write(path: Path, case: Packed) -> None:
    """Puts the file in its place, whole and past a power loss; one that is there is left."""
    if path.is_file() and path.stat().st_size == case.bytes:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A name of its own: another process may be writing the same case.
        handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb", buffering=0) as file:
                for part in case.parts:
                    _write_all(file.fileno(), memoryview(part))
                os.fsync(file.fileno())
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise ResourceError(
            f"{path.parent}: a case cannot be written: {error.strerror}. Every case that was "
            "imported before is intact; free space and run the same command again"
        ) from None


def _write_all(descriptor: int, rest: memoryview) -> None:
    """A write that was cut short, by a full disk, is tried again and then says why."""
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(path: Path, facts: Facts) -> Content:
    """The case through memory maps; OSError or CodecError where it is gone or damaged."""
    arrays = mapped(path)
    label = arrays.get("label")
    return Content(
        _by_axis(arrays["image"]),
        np.array(arrays["affine"]),
        None if label is None else _by_axis(label),
        facts,
    )


def verified(path: Path, facts: Facts) -> str:
    """The hash of what the file holds now."""
    return packed(read(path, facts)).key


def _by_slice(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_by_axis(array))


def _by_axis(array: np.ndarray) -> np.ndarray:
    """Channels stay in front, the other axes are reversed."""
    return array.transpose((0, 3, 2, 1) if array.ndim == 4 else (2, 1, 0))


def _narrow(label: Map) -> npt.NDArray[Any]:
    """In as few bytes as its values need: the same label from any reader is the same bytes."""
    low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
    for kind in (np.uint8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return label.astype(kind, copy=False)
    return label.astype(np.int64)


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
