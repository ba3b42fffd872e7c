"""Whether two images lie on the same grid and hold the same voxels, whichever way their axes run."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


def turned_like(
    array: Array,
    affine: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    shape: tuple[int, ...],
) -> tuple[Array, npt.NDArray[np.float64]]:
    """`array` and `affine` with axes swapped and flipped to run as those of `other` do."""
    between = np.linalg.inv(other)[:3, :3] @ affine[:3, :3]
    order = [int(np.abs(between[axis]).argmax()) for axis in range(3)]
    swap = np.eye(4)[:, [*order, 3]]
    array, affine = array.transpose(order), affine @ swap
    for axis in range(3):
        if between[axis, order[axis]] < 0:
            flip = np.eye(4)
            flip[axis, axis], flip[axis, 3] = -1, array.shape[axis] - 1
            array, affine = np.flip(array, axis), affine @ flip
    if array.shape != shape:
        raise AssertionError(f"{array.shape} voxels, not {shape}")
    return array, affine


def apart_mm(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    """The largest distance between where two affines put the corners of a grid."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    placed = np.c_[corners, np.ones(8)] @ (one - other).T
    return float(np.linalg.norm(placed[:, :3], axis=1).max())
