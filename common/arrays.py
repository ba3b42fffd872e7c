"""Named tensors: what a model is outside of torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fedvox.common.errors import NotFiniteError

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]

_CHUNK = 1 << 13
"""Elements squared at once: in the cache, and too few for BLAS to share them between threads."""


def sha256_of(arrays: Arrays) -> str:
    """A hash over names, types, shapes and bytes; the order of the names does not count."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def delta(after: Arrays, before: Arrays) -> dict[str, Array]:
    """What training added: after - before."""
    return {name: np.subtract(after[name], before[name]) for name in before}


def add(arrays: Arrays, change: Arrays) -> dict[str, Array]:
    """arrays + change, in the types of `arrays`; a name that `change` lacks stays as it is."""
    return {
        name: np.add(array, change[name]).astype(array.dtype) if name in change else array
        for name, array in arrays.items()
    }


def norm(arrays: Arrays) -> float:
    """Euclidean norm over all tensors together, summed in float64 by name."""
    return distance(arrays, {})


def distance(arrays: Arrays, others: Arrays) -> float:
    """Euclidean norm of arrays - others, without either's size in memory again.

    Tensors that `others` lack count as they are.
    """
    total = 0.0
    for name in sorted(arrays):
        flat = arrays[name].reshape(-1)
        other = others[name].reshape(-1) if name in others else None
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            if other is not None:
                part = np.subtract(part, other[start : start + _CHUNK])
            exact = part.astype(np.float64)
            total += float(exact @ exact)
    return math.sqrt(total)


def require_finite(arrays: Arrays, what: str) -> None:
    """Raises NotFiniteError naming the first tensor that holds NaN or infinity."""
    for name in sorted(arrays):
        if not np.isfinite(arrays[name]).all():
            raise NotFiniteError(f"{what}: {name} holds NaN or infinity")


def count(arrays: Arrays) -> int:
    """Number of elements."""
    return sum(int(array.size) for array in arrays.values())


def flattened(groups: Mapping[str, Arrays]) -> dict[str, Array]:
    """Groups of tensors as one, named GROUP:NAME."""
    return {f"{group}:{name}": a for group, arrays in groups.items() for name, a in arrays.items()}


def grouped(flat: Arrays) -> dict[str, dict[str, Array]]:
    """The groups that `flattened` made one; empty groups are not found again."""
    groups: dict[str, dict[str, Array]] = {}
    for key, array in flat.items():
        group, _, name = key.partition(":")
        groups.setdefault(group, {})[name] = array
    return groups
