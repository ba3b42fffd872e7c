"""Exact weighted sums of named tensors: any order of the summands gives the same bits.

A value v with weight w enters as w * round(v * 2^32), an integer; rounding is half to even.
Integers add up without rounding, so neither order nor grouping can matter, and the same integers
can be masked for secure aggregation. A mean is off by at most 2^-33, and
then rounded to float32.

A sum that could leave 63 bits is refused before anything is added: the weighted sum of the largest
absolute value of each summand must stay below 2^31, however the values are spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedvox.common.arrays import Array, Arrays, blocks
from fedvox.common.errors import FedvoxError, NotFiniteError

FRACTION_BITS = 32
LIMIT = 2**63 - 1
_SCALE = 2.0**FRACTION_BITS
BLOCK = 1 << 16
"""Elements worked on at once: they stay in the processor's cache."""

_DTYPES = frozenset({np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)})

Integers = npt.NDArray[np.int64]


class FoldError(FedvoxError):
    """Tensors that cannot be added up."""


@dataclass
class _Lease:
    """Whether the buffers of a Sum have passed on to its successor."""

    spent: bool = False


@dataclass(frozen=True, eq=False)
class Sum:
    """Sum of weight * value so far, in units of 2^-32.

    `add` hands the buffers on to the sum it returns, `drained` takes them apart; the sum they were
    given cannot be used again.
    """

    shapes: Mapping[str, tuple[int, ...]]
    """What may be added: names and shapes."""
    partial: bool = False
    """Summands may lack names, all the same ones."""
    totals: dict[str, Integers] = field(default_factory=dict)
    weight: int = 0
    summands: int = 0
    bound: int = 0
    """No total can be larger than this, whatever the values."""
    _lease: _Lease = field(default_factory=_Lease, repr=False)


def empty(like: Arrays, *, partial: bool = False) -> Sum:
    """The sum of nothing; it takes tensors with the names and shapes of `like`."""
    return Sum({name: array.shape for name, array in like.items()}, partial)


def add(total: Sum, arrays: Arrays, weight: int = 1) -> Sum:
    """`total` + `weight` * `arrays`; on an error `total` is unchanged and can still be used."""
    bound = check(total, arrays, weight)
    total._lease.spent = True
    totals = total.totals or {name: np.zeros(total.shapes[name], np.int64) for name in arrays}
    for name, array in arrays.items():
        _add_scaled(totals[name], array, weight)
    return Sum(
        total.shapes, total.partial, totals, total.weight + weight, total.summands + 1, bound
    )


def check(total: Sum, arrays: Arrays, weight: int) -> int:
    """The bound of the sum after `add`; raises whatever `add` would raise."""
    _require_open(total)
    _check_names(total, arrays)
    if weight < 1:
        raise FoldError(f"an update has weight {weight}; a site counts with at least 1")
    bound = total.bound + weight * _peak(arrays)
    if bound > LIMIT:
        raise FoldError(
            f"the weighted sum of {total.summands + 1} updates could exceed its 63 bits; lower "
            "participation.max_update_norm, or set strategy.weighting = 'uniform'"
        )
    return bound


def drained(total: Sum, divisor: int) -> Iterator[tuple[str, Iterator[Array]]]:
    """Name after name, the sum / `divisor` in blocks of BLOCK elements, and then not kept any more.

    Divided in float64, then rounded to float32.
    """
    _require_open(total)
    if total.summands == 0 or divisor < 1:
        raise FoldError("no update was folded in, so there is nothing to average")
    total._lease.spent = True
    return _drained(total.totals, float(divisor) * _SCALE)


def _drained(totals: dict[str, Integers], unit: float) -> Iterator[tuple[str, Iterator[Array]]]:
    for name in sorted(totals):
        sums = blocks(totals.pop(name), BLOCK)
        yield name, (np.divide(part, unit).astype(np.float32) for part in sums)


def _add_scaled(totals: Integers, array: Array, weight: int) -> None:
    """totals += weight * round(array * 2^32), in chunks."""
    work = np.float64 if array.dtype == np.float64 else np.float32
    # A power of two only moves the exponent: the product is exact in float32 too.
    values = np.empty(min(BLOCK, array.size), work)
    integers = np.empty(values.size, np.int64)
    for part, target in zip(blocks(array, BLOCK), blocks(totals, BLOCK), strict=True):
        value, integer = values[: part.size], integers[: part.size]
        np.multiply(part, work(_SCALE), out=value)
        np.rint(value, out=value)
        np.copyto(integer, value, casting="unsafe")
        if weight != 1:
            integer *= weight
        target += integer


def _peak(arrays: Arrays) -> int:
    """The largest |round(value * 2^32)|, or one more; raises where a value is not finite."""
    peak = 0.0
    for name, array in arrays.items():
        for part in blocks(array, BLOCK):
            high, low = float(part.max()), float(part.min())
            if not (math.isfinite(high) and math.isfinite(low)):
                raise NotFiniteError(f"update: {name} holds NaN or infinity")
            peak = max(peak, high, -low)
    whole = math.floor(peak)
    return (whole << FRACTION_BITS) + math.ceil((peak - whole) * _SCALE)


def _require_open(total: Sum) -> None:
    if total._lease.spent:
        raise FoldError("this sum was used already; go on with the one that add returned")


def _check_names(total: Sum, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if name not in total.shapes:
            raise FoldError(f"{name[:80]!r} is not a tensor of the model")
        if array.dtype not in _DTYPES:
            raise FoldError(f"{name}: is {array.dtype}; only float16, 32 and 64 can be averaged")
        if array.shape != total.shapes[name]:
            raise FoldError(f"{name}: has shape {array.shape}, the model {total.shapes[name]}")
    wanted = total.totals or (arrays if total.partial else total.shapes)
    missing = sorted(wanted.keys() - arrays.keys())
    if missing:
        raise FoldError(f"tensors are missing: {_some(missing)}")
    surplus = sorted(arrays.keys() - wanted.keys())
    if surplus:
        raise FoldError(f"tensors that the other sites left out: {_some(surplus)}")
    if not arrays:
        raise FoldError("the update holds no tensors")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
