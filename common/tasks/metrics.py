"""What is counted for one prediction, and the metrics that follow from the summed counts.

Segmentation, for every foreground class and case:

- neither truth nor prediction has a voxel: Dice and IoU are 1, the distance is left out;
- only one of them has: Dice and IoU are 0, the distance is the diagonal of the volume in mm;
- else HD95 is the larger of the two 95th percentiles of the distances in mm from the surface voxels
  of one to the nearest surface voxel of the other.

Classification: the confusion matrix, and for every class how often which probability (in 256 equal
bins) was given to cases of the class and to all others; ROC curves come from these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.common.tasks.geometry import bounding_box
from fedvox.common.tasks.task import Tally

BINS = 256
OF_CLASS, OF_OTHERS = 0, 1
"""Second axis of tally["probability"]: cases of the class, cases of all other classes."""

Mask = npt.NDArray[np.bool_]


def segmentation_tally(
    prediction: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.uint8],
    spacing: tuple[float, ...],
    classes: int,
) -> Tally:
    """Sums over foreground classes: of Dice, IoU and HD95, and how many cases stand behind them."""
    pairs = np.bincount(
        truth.ravel().astype(np.intp) * classes + prediction.ravel(), minlength=classes**2
    ).reshape(classes, classes)
    both = np.diag(pairs)[1:].astype(np.float64)
    true, predicted = pairs.sum(axis=1)[1:], pairs.sum(axis=0)[1:]
    union = true + predicted - both
    absent = union == 0
    distance = np.zeros(classes - 1)
    for index in np.flatnonzero(~absent):
        distance[index] = hd95(truth == index + 1, prediction == index + 1, spacing)
    return {
        "dice": np.where(absent, 1.0, 2 * both / np.where(absent, 1, true + predicted)),
        "iou": np.where(absent, 1.0, both / np.where(absent, 1, union)),
        "cases": np.ones(classes - 1),
        "hd95": distance,
        "hd95_cases": (~absent).astype(np.float64),
    }


def segmentation_metrics(tally: Tally, classes: tuple[str, ...]) -> dict[str, float]:
    """dice, iou and hd95 (mm): mean over cases by class, and the mean of that over classes."""
    metrics: dict[str, float] = {}
    for name, cases in (("dice", "cases"), ("iou", "cases"), ("hd95", "hd95_cases")):
        known = np.flatnonzero(tally[cases] > 0)
        means = {classes[index + 1]: tally[name][index] / tally[cases][index] for index in known}
        metrics |= _with_mean(name, means)
    return metrics


def hd95(first: Mask, second: Mask, spacing: tuple[float, ...]) -> float:
    """95th percentile of the surface distance in mm; the volume's diagonal where one is empty."""
    if not first.any() or not second.any():
        return float(np.linalg.norm(np.multiply(first.shape, spacing)))
    from scipy.spatial import KDTree

    box = bounding_box(first | second)
    near, far = (_surface(mask[box]) * np.asarray(spacing) for mask in (first, second))
    there, back = KDTree(far).query(near)[0], KDTree(near).query(far)[0]
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _surface(mask: Mask) -> npt.NDArray[np.intp]:
    """Indices of the voxels that have a neighbour (by face) outside of the mask or the volume."""
    from scipy import ndimage

    return np.argwhere(mask & ~ndimage.binary_erosion(mask))


def classification_tally(probabilities: npt.NDArray[np.floating], truth: int) -> Tally:
    """One case: its cell of the confusion matrix, and its probabilities by class."""
    classes = len(probabilities)
    confused = np.zeros((classes, classes))
    confused[truth, int(np.argmax(probabilities))] = 1
    counts = np.zeros((classes, 2, BINS))
    bins = np.clip((probabilities * BINS).astype(np.intp), 0, BINS - 1)
    for index, at in enumerate(bins):
        counts[index, OF_CLASS if index == truth else OF_OTHERS, at] = 1
    return {"confusion": confused, "probability": counts}


def classification_metrics(tally: Tally, classes: tuple[str, ...]) -> dict[str, float]:
    """accuracy, balanced_accuracy, auroc, and sensitivity and specificity by class.

    Sensitivity is known for classes that occur, specificity where another occurs, AUROC where both;
    means are over the classes for which they are known.
    """
    matrix = tally["confusion"]
    total, hits = matrix.sum(), np.diag(matrix)
    if total == 0:
        return {}
    occurs, others = matrix.sum(axis=1), total - matrix.sum(axis=1)
    false_alarms = matrix.sum(axis=0) - hits
    recall = {classes[at]: hits[at] / occurs[at] for at in np.flatnonzero(occurs)}
    spared = {classes[at]: 1 - false_alarms[at] / others[at] for at in np.flatnonzero(others)}
    areas = {classes[at]: auroc(tally, int(at)) for at in np.flatnonzero(occurs * others)}
    return {
        "accuracy": float(hits.sum() / total),
        "balanced_accuracy": float(np.mean(list(recall.values()))),
        **_with_mean("auroc", areas),
        **_with_mean("sensitivity", recall),
        **_with_mean("specificity", spared),
    }


def confusion(tally: Tally) -> npt.NDArray[np.int64]:
    """[K, K] cases: rows are the true classes, columns the predicted ones."""
    return np.rint(tally["confusion"]).astype(np.int64)


def roc_points(
    tally: Tally, class_index: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """False and true positive rates of a class against the rest, from (0, 0) to (1, 1).

    Both are NaN where a rate is not defined: no case of the class, or of no other.
    """
    with np.errstate(invalid="ignore"):
        rates = [
            np.concatenate([[0.0], np.cumsum(counts[::-1]) / counts.sum()])
            for counts in tally["probability"][class_index]
        ]
    return rates[OF_OTHERS], rates[OF_CLASS]


def auroc(tally: Tally, class_index: int) -> float:
    """Area under the ROC curve of a class against the rest; ties within a bin count half."""
    false_rate, true_rate = roc_points(tally, class_index)
    return float(np.trapezoid(true_rate, false_rate))


def _with_mean(name: str, by_class: dict[str, Any]) -> dict[str, float]:
    if not by_class:
        return {}
    named = {f"{name}_{of}": float(value) for of, value in by_class.items()}
    return {name: float(np.mean(list(named.values()))), **named}
