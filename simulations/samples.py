"""A few test cases with truth and prediction of the federated model, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.training.learner import Learner
from fedvox.common.arrays import Arrays
from fedvox.common.files import write_bytes_atomic, write_json_atomic
from fedvox.common.tasks.metrics import confusion, roc_points
from fedvox.common.tasks.task import Prepared
from fedvox.server.evaluation import Evaluation
from fedvox.simulations.consortium import Consortium

_SAMPLES = 8


def write_samples(folder: Path, consortium: Consortium, weights: Arrays) -> None:
    """samples.npz: one slice of up to eight test cases, taken from the sites in turn."""
    learner = Learner(consortium.study)
    learner.load(weights)
    arrays: dict[str, Any] = {}
    names = []
    for number, (site, key) in enumerate(_chosen(consortium)):
        case = consortium.store.get(key)
        prediction = learner.infer(case)
        metrics = learner.task.metrics(learner.task.tally(prediction, case))
        if consortium.study.task.kind == "segmentation":
            cut = _cut(case, np.asarray(case.label))
            arrays[f"truth_{number}"] = _upright(np.asarray(case.label), cut)
            arrays[f"prediction_{number}"] = _upright(prediction, cut)
            names.append(f"{site} · Dice {metrics['dice']:.2f}")
        else:
            cut = _cut(case, np.zeros(case.image.shape[1:]))
            classes = consortium.study.task.classes
            truth, guess = classes[int(case.label)], classes[int(prediction.argmax())]
            names.append(f"{site} · {truth}, predicted {guess} ({prediction.max():.0%})")
        image = np.asarray(case.image[0], dtype=np.float32)
        arrays[f"image_{number}"] = _upright(image, cut)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, names=np.array(names), **arrays)
    write_bytes_atomic(folder / "samples.npz", buffer.getvalue())


def write_evaluation(folder: Path, consortium: Consortium, test: Evaluation | None) -> None:
    """evaluation.json: confusion matrix and ROC curves over all test patients (classification)."""
    if test is None or consortium.study.task.kind != "classification":
        return
    classes = consortium.study.task.classes
    tallies = {"union": test.union_tally, **{f"site:{s}": t for s, t in test.tallies.items()}}
    plain = {
        name: {
            "confusion": confusion(tally).tolist(),
            "roc": {c: np.asarray(roc_points(tally, i)).tolist() for i, c in enumerate(classes)},
        }
        for name, tally in tallies.items()
    }
    sites = {name.removeprefix("site:"): t for name, t in plain.items() if name != "union"}
    federated = {"union": plain["union"], "sites": sites}
    write_json_atomic(folder / "evaluation.json", {"test": {"federated": federated}})


def _chosen(consortium: Consortium) -> list[tuple[str, str]]:
    """Test cases, one site after the other until there are enough."""
    tests = {s: list(consortium.rosters[s].keys.get("test", ())) for s in consortium.sites}
    longest = max((len(keys) for keys in tests.values()), default=0)
    turns = [
        (s, keys[turn]) for turn in range(longest) for s, keys in tests.items() if turn < len(keys)
    ]
    return turns[:_SAMPLES]


def _upright(volume: np.ndarray, cut: tuple[Any, ...]) -> np.ndarray:
    """The slice as radiologists look at one, of axes that run right, anterior, superior."""
    shown: np.ndarray = volume[cut]
    if volume.ndim == 2:
        return shown
    return np.ascontiguousarray(shown.T[::-1, ::-1])


def _cut(case: Prepared, label: np.ndarray) -> tuple[Any, ...]:
    """The slice across the last axis with most of the rarest label; 2D cases are shown whole."""
    if case.image.ndim == 3:
        return (slice(None), slice(None))
    areas = [np.count_nonzero(label == value, axis=(0, 1)) for value in np.unique(label) if value]
    middle = label.shape[-1] // 2
    rarest = min(areas, key=lambda area: area.sum(), default=None)
    return (slice(None), slice(None), int(rarest.argmax()) if rarest is not None else middle)
