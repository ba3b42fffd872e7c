"""Named tensors <-> bytes: safetensors with a versioned header. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedvox.common.arrays import Arrays
from fedvox.common.errors import FedvoxError

FORMAT = "fedvox-1"
_DTYPES = frozenset({"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"})


class CodecError(FedvoxError):
    """Bytes that are not named tensors in our format."""


def encode(arrays: Arrays, notes: Mapping[str, str] | None = None) -> bytes:
    """The tensors, with `notes` (text) in the header."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save(contiguous, {**(notes or {}), "format": FORMAT}))


def decode(data: bytes) -> dict[str, np.ndarray]:
    """The tensors in `data`, after a check of the header against the length."""
    _check(data)
    try:
        return dict(load(data))
    except (SafetensorError, ValueError) as error:
        raise CodecError(f"not valid safetensors: {error}") from None


def notes_of(data: bytes) -> dict[str, str]:
    """The text notes in the header of `data`."""
    return dict(_check(data).get("__metadata__", {}))


def encoded_size(arrays: Arrays) -> int:
    """How many bytes `encode` takes, near enough for a report: payload and header."""
    return sum(array.nbytes + 96 + len(name) for name, array in arrays.items()) + 64


def _check(data: bytes) -> dict[str, dict[str, str]]:
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
    unknown = {str(t.get("dtype")) for n, t in header.items() if n != "__metadata__"} - _DTYPES
    if unknown:
        raise CodecError(f"tensor types that are not read here: {', '.join(sorted(unknown))}")
    return dict(header)
