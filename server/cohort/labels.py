"""The sites' labels under one map, with what they disagree on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedvox.common.errors import InputError
from fedvox.server.cohort.pool import Pool


@dataclass(frozen=True)
class Labels:
    """Classes for a study, and how the values of label files lead to them."""

    task: str
    classes: tuple[str, ...]
    label_map: Mapping[str, int] = field(default_factory=dict)
    """Empty: values are class indices."""
    conflicts: tuple[str, ...] = ()
    """What people must settle before the study."""


def labels_of(pool: Pool, task: str = "") -> Labels:
    """The union of all labels; of names that differ the one with the most weight."""
    task = task or _usual_task(pool)
    if task == "classification":
        return _classification(pool)
    return _segmentation(pool)


def _usual_task(pool: Pool) -> str:
    weight: dict[str, float] = defaultdict(float)
    for summary, share in zip(pool.summaries, pool.weights, strict=True):
        weight[summary.task] += share
    weight.pop("none", None)
    if not weight:
        raise InputError(
            "no site tells of labels; name the task with --task, and the classes in the study file"
        )
    return max(sorted(weight), key=lambda task: weight[task])


def _classification(pool: Pool) -> Labels:
    at: dict[str, list[str]] = defaultdict(list)
    for summary in pool.summaries:
        for label in summary.labels:
            if label.value is None and label.name:
                at[label.name].append(summary.site)
    conflicts = tuple(
        f"class {name!r} is told of by {sites[0]} alone"
        for name, sites in sorted(at.items())
        if len(sites) == 1 and len(pool.summaries) > 1
    )
    return Labels("classification", tuple(sorted(at)), {}, conflicts)


def _segmentation(pool: Pool) -> Labels:
    votes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    named: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for summary, weight in zip(pool.summaries, pool.weights, strict=True):
        for label in summary.labels:
            if label.value:
                votes[label.value][label.name] += weight if label.name else 0.0
                named[label.value][label.name].append(summary.site)
    values = sorted(votes)
    names = _names(values, votes)
    contiguous = values == list(range(1, len(values) + 1))
    label_map = {} if contiguous else {"0": 0} | {str(v): at for at, v in enumerate(values, 1)}
    classes = ("background", *(names[value] for value in values))
    return Labels("segmentation", classes, label_map, (*_at_odds(named), *_moved(named)))


def _names(values: list[int], votes: Mapping[int, Mapping[str, float]]) -> dict[int, str]:
    """A name for each value, no two alike."""
    names: dict[int, str] = {}
    for value in values:
        best = max(sorted(votes[value]), key=lambda name: votes[value][name])
        taken = {"background", "", *names.values()}
        names[value] = best if best not in taken else f"label-{value}"
    return names


def _at_odds(named: Mapping[int, Mapping[str, list[str]]]) -> list[str]:
    """Values that go by several names."""
    found = []
    for value, names in sorted(named.items()):
        said = {name: sites for name, sites in sorted(names.items()) if name}
        if len(said) > 1:
            told = ", ".join(f"{name!r} at {', '.join(sites)}" for name, sites in said.items())
            found.append(f"value {value} is {told}")
    return found


def _moved(named: Mapping[int, Mapping[str, list[str]]]) -> list[str]:
    """Names that stand for several values."""
    places: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for value, names in named.items():
        for name, sites in names.items():
            if name:
                places[name][value] = sites
    return [
        f"{name!r} is "
        + ", ".join(f"value {value} at {', '.join(sites)}" for value, sites in sorted(of.items()))
        for name, of in sorted(places.items())
        if len(of) > 1
    ]
