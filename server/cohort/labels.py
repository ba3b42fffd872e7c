"""The sites' labels under one map, with what they disagree on.

Of three sites and more no one adds a class to the study: what one alone tells of is left out, and
said, so that people can put it in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from fedvox.common.errors import InputError
from fedvox.server.cohort.pool import Pool

_ENOUGH_SITES = 3
"""From so many on, what one alone says does not count."""
_BY_HAND = "give --task, and write task.classes into the study that it plans"
_Key = TypeVar("_Key", int, str)


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
    """The labels that sites share; of names that differ the one with the most weight."""
    kind = task or _usual_task(pool)
    found = _classification(pool) if kind == "classification" else _segmentation(pool)
    if len(found.classes) >= 2:
        return found
    missing = f"the sites do not share the two classes that a {kind} needs"
    if task:  # who asked for it writes the classes
        settle = f"{missing}: write task.classes"
        return Labels(kind, (), {}, (*found.conflicts, settle))
    told = "; ".join(found.conflicts) or "no site tells of any"
    raise InputError(f"{missing}: {told}; {_BY_HAND}")


def _left_out(names: Mapping[_Key, set[str]]) -> frozenset[_Key]:
    """What one site alone tells of, where three or more tell of anything."""
    telling = set().union(*names.values()) if names else set()
    if len(telling) < _ENOUGH_SITES:
        return frozenset()
    return frozenset(key for key, sites in names.items() if len(sites) == 1)


def _usual_task(pool: Pool) -> str:
    weight: dict[str, float] = defaultdict(float)
    for summary, share in zip(pool.summaries, pool.weights, strict=True):
        weight[summary.task] += share
    weight.pop("none", None)
    if not weight:
        raise InputError(f"no site tells of labels; {_BY_HAND}")
    return max(sorted(weight), key=lambda task: weight[task])


def _classification(pool: Pool) -> Labels:
    at: dict[str, set[str]] = defaultdict(set)
    for summary in pool.counting:
        for label in summary.labels:
            if label.value is None and label.name:
                at[label.name].add(summary.site)
    out = _left_out(at)
    conflicts = tuple(
        f"class {name!r} is told of by {min(sites)} alone"
        + (", and left out; if it belongs to the study, add it to task.classes" if out else "")
        for name, sites in sorted(at.items())
        if len(sites) == 1 and len(pool.counting) > 1
    )
    return Labels("classification", tuple(sorted(set(at) - out)), {}, conflicts)


def _segmentation(pool: Pool) -> Labels:
    votes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    named: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for summary, weight in zip(pool.summaries, pool.weights, strict=True):
        for label in summary.labels if summary.patients else ():
            if label.value:
                votes[label.value][label.name] += weight if label.name else 0.0
                named[label.value][label.name].append(summary.site)
    out = _left_out({value: {*chain(*names.values())} for value, names in named.items()})
    alone = tuple(
        f"value {value} is told of by {min(chain(*named[value].values()))} alone, and left out; if "
        "it belongs to the study, add it to task.classes and data.label_map; if not, map it to 0"
        for value in sorted(out)
    )
    values = sorted(set(votes) - out)
    names = _names(values, votes)
    contiguous = values == list(range(1, len(values) + 1))
    label_map = {} if contiguous else {"0": 0} | {str(v): at for at, v in enumerate(values, 1)}
    classes = ("background", *(names[value] for value in values))
    conflicts = (*_at_odds(named), *_moved(named), *alone)
    return Labels("segmentation", classes, label_map, conflicts)


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
