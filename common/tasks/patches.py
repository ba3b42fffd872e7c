"""Where a training patch is taken from a case, and reading just that from the memory map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedvox.common.tasks.geometry import margins, pad_label_to, pad_to
from fedvox.common.tasks.task import Prepared

_JITTER = 4
"""A patch centred on a voxel is moved by up to this fraction (1/4) of its edge."""


def random_start(
    case: Prepared, patch: Sequence[int], foreground: float, rng: np.random.Generator
) -> tuple[int, ...]:
    """First voxel of a patch that lies inside the case; 0 along axes where the case is smaller.

    With probability `foreground` the patch is centred near a voxel of a foreground class; every
    class that is present is as likely as any other. Otherwise every position is equally likely.
    """
    room = [max(have - want, 0) for have, want in zip(case.label.shape, patch, strict=True)]
    if rng.random() >= foreground or not len(case.foreground):
        return tuple(int(start) for start in rng.integers(0, np.add(room, 1)))
    classes = np.unique(case.foreground[:, 0])
    of_class = case.foreground[case.foreground[:, 0] == rng.choice(classes)]
    centre = of_class[rng.integers(len(of_class)), 1:]
    reach = np.asarray(patch) // _JITTER
    start = centre - np.asarray(patch) // 2 + rng.integers(-reach, reach + 1)
    return tuple(int(first) for first in np.clip(start, 0, room))


def read_patch(
    case: Prepared, start: Sequence[int], patch: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Copies of image and label from `start` on; nothing else of the memory map is read.

    Where the case is smaller than the patch it is centred in it, as in inference; what is added
    takes the minimum of the image's channel (in the part that was read), and class 0.
    """
    box = tuple(slice(first, first + edge) for first, edge in zip(start, patch, strict=True))
    image = np.array(case.image[:, *box])
    label = np.array(case.label[box])
    return pad_to(image, patch), pad_label_to(label, patch)


def inner_box(shape: Sequence[int], patch: Sequence[int]) -> tuple[slice, ...]:
    """Where a case of `shape` lies once it is centred in at least one patch."""
    before = (margin[0] for margin in margins(shape, patch))
    return tuple(slice(first, first + edge) for first, edge in zip(before, shape, strict=True))
