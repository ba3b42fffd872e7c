"""Named tensors: what a model is outside of torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from mmap import MADV_DONTNEED, mmap
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fedvox.common.errors import NotFiniteError

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]
Element = TypeVar("Element", bound=np.generic)

SQUARED = 1 << 13
"""Elements squared at once: in the cache, and too few for BLAS to share them between threads."""
_HASHED = 1 << 18
_IN_MEMORY_BYTES = 8 << 20


def blocks(array: npt.NDArray[Element], elements: int) -> Iterator[npt.NDArray[Element]]:
    """A tensor's elements in their order, so many at a time.

    Of a tensor in a mapped file, what has been gone through leaves the memory.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    seen = 0
    for start in range(0, flat.size, elements):
        block = flat[start : start + elements]
        yield block
        seen += block.nbytes
        if seen >= _IN_MEMORY_BYTES:
            let_go(flat)
            seen = 0
    let_go(flat)


def let_go(array: Array) -> None:
    """Takes a tensor in a mapped file out of memory until it is read again."""
    if file := mapping_of(array):
        file.madvise(MADV_DONTNEED)


def mapping_of(array: Array) -> mmap | None:
    """The file that a tensor is a view of."""
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap) else None


def sha256_of(arrays: Arrays) -> str:
    """A hash over names, types, shapes and bytes; the order of the names does not count."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        for block in blocks(array, _HASHED):
            digest.update(block.data)
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
        parts = blocks(arrays[name], SQUARED)
        if name in others:
            pairs = zip(parts, blocks(others[name], SQUARED), strict=True)
            parts = (np.subtract(one, other) for one, other in pairs)
        for part in parts:
            exact = part.astype(np.float64)
            total += float(exact @ exact)
    return math.sqrt(total)


def require_finite(arrays: Arrays, what: str) -> None:
    """Raises NotFiniteError naming the first tensor that holds NaN or infinity."""
    for name in sorted(arrays):
        if not is_finite(arrays[name]):
            raise NotFiniteError(f"{what}: {name} holds NaN or infinity")


def is_finite(array: Array) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    return all(bool(np.isfinite(block).all()) for block in blocks(array, _HASHED))


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
