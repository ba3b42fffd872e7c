"""A study and cases small enough to train on in milliseconds."""

import numpy as np

from fedvox.common.study import Study, load_study
from fedvox.common.volume import Volume

TINY = (
    "task.classes=['background', 'ball']",
    "data.patch=[8, 8, 8]",
    "model.channels=[4, 8]",
    "training.local_steps=3",
    "training.rounds=2",
    "training.batch_size=2",
    "training.precision=fp32",
    "training.device=cpu",
)


def tiny(*settings: str) -> Study:
    return load_study(settings=[*TINY, *settings])


def ball(number: int) -> Volume:
    """A bright ball in noise, 10 x 10 x 10 voxels."""
    rng = np.random.default_rng(number)
    centre = rng.uniform(3, 6, 3)
    distance = np.linalg.norm(np.indices((10, 10, 10)).T - centre, axis=-1).T
    label = (distance < 2.5).astype(np.int32)
    image = label + rng.normal(0, 0.3, label.shape)
    return Volume(image[None].astype(np.float32), np.eye(4), label)
