"""Named tensors <-> bytes: safetensors with a versioned header. Never pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from fedvox.common.arrays import Arrays, let_go
from fedvox.common.errors import FedvoxError

FORMAT = "fedvox-1"
_OWN = {"format": FORMAT}
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""Tensor types that are read; nothing else is accepted."""
_WIDE_FIRST = ("I64", "F64", "F32", "I32", "F16", "I16", "I8", "U8", "BOOL")


class CodecError(FedvoxError):
    """Bytes that are not named tensors in our format."""


def encode(arrays: Arrays, notes: Mapping[str, str] | None = None) -> bytes:
    """The tensors, with `notes` (text) in the header; the same content is always the same bytes."""
    data = b"".join(encoded_parts(arrays, notes))
    for array in arrays.values():
        let_go(array)
    return data


def encoded_parts(
    arrays: Arrays, notes: Mapping[str, str] | None = None
) -> list[bytes | memoryview]:
    """What `encode` gives, in parts that are the tensors' own memory: for writing to a file.

    Laid out by hand because the library copies every tensor and writes notes in random order.
    """
    kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    kinds: dict[np.dtype[Any], str] = {np.dtype(kind): name for name, kind in _DTYPES.items()}
    # As the library does: wide types first, so that every tensor is aligned.
    names = sorted(kept, key=lambda name: (_WIDE_FIRST.index(kinds[kept[name].dtype]), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted({**(notes or {}), **_OWN}.items()))}
    end = 0
    for name in names:
        array, begin = kept[name], end
        end += array.nbytes
        kind = kinds[array.dtype]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    parts = [kept[name].reshape(-1).view(np.uint8).data for name in names if kept[name].size]
    return [len(text).to_bytes(8, "little"), text, *parts]


def decode(data: bytes) -> dict[str, np.ndarray]:
    """The tensors in `data`, after a check of the header against the length."""
    _check(data)
    try:
        return dict(load(data))
    except (SafetensorError, ValueError) as error:
        raise CodecError(f"not valid safetensors: {error}") from None


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The tensors in a file as read-only memory maps: nothing is read before it is used."""
    try:
        return viewed(mapping(path))
    except CodecError as error:
        raise CodecError(f"{path}: {error}") from None


def mapping(path: Path) -> mmap:
    """A file as if it were in memory, to be read; CodecError for an empty one."""
    with path.open("rb") as file:
        try:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
        except ValueError:
            raise CodecError(f"{path}: is empty") from None


def viewed(data: bytes | mmap) -> dict[str, np.ndarray]:
    """The tensors in `data` as read-only views of it: nothing is copied."""
    header, begin = _check(data), 8 + int.from_bytes(data[:8], "little")
    payload = memoryview(data)[begin:]
    try:
        return {
            name: _view(payload, entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CodecError(f"not valid safetensors: {type(error).__name__}") from None


def _view(payload: memoryview, entry: dict[str, Any]) -> np.ndarray:
    start, end = (int(at) for at in entry["data_offsets"])
    shape, dtype = tuple(int(side) for side in entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
    fits = 0 <= start <= end <= len(payload) and min(shape, default=0) >= 0
    if not fits or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError
    view: np.ndarray = np.frombuffer(payload[start:end], dtype).reshape(shape)
    return view


def notes_of(data: bytes | mmap) -> dict[str, str]:
    """The text notes in the header of `data`."""
    return dict(_check(data).get("__metadata__", {}))


def encoded_size(arrays: Arrays) -> int:
    """How many bytes `encode` takes, near enough for a report: payload and header."""
    return sum(array.nbytes + 96 + len(name) for name, array in arrays.items()) + 64


def _check(data: bytes | mmap) -> dict[str, Any]:
    """The header; nothing is allocated before it is known to fit the length of the data."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise CodecError("not valid safetensors: shorter than its header says")
    try:
        header = json.loads(data[8 : 8 + length])
        form = header["__metadata__"]["format"]
    except (ValueError, KeyError, TypeError):
        raise CodecError(f"not in the format {FORMAT}") from None
    if form != FORMAT:
        raise CodecError(f"in the format {str(form)[:20]!r}, this release reads {FORMAT}")
    unknown = {str(t.get("dtype")) for n, t in header.items() if n != "__metadata__"} - set(_DTYPES)
    if unknown:
        raise CodecError(f"tensor types that are not read here: {', '.join(sorted(unknown))}")
    return dict(header)
