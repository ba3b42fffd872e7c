"""Patients counted: each counts once in every histogram, however many cases one has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from fedvox.client.cohort.measure import Label, Measures
from fedvox.common.cohort.axes import NUMBERS, WORDS, cell_of, cell_of_count

Counts = tuple[int, ...]


@dataclass(frozen=True)
class Tally:
    """Exact counts of patients. They stay at the site."""

    patients: int
    words: Mapping[str, Counts]
    numbers: Mapping[str, Counts]
    labels: Mapping[Label, int]
    """Patients with a value under a name, or of a class."""

    def with_value(self, value: int) -> int:
        """Patients whose label maps hold a value, by whatever name it goes."""
        return sum(count for (held, _), count in self.labels.items() if held == value)

    @property
    def classes(self) -> Mapping[str, int]:
        """Patients of each class."""
        return {name: count for (held, name), count in self.labels.items() if held is None}


def tally(people: Mapping[str, Sequence[Measures]]) -> Tally:
    """The counts over patients with the cases of each."""
    words: dict[str, list[int]] = {name: [0] * len(cells) for name, cells in WORDS.items()}
    numbers: dict[str, list[int]] = {name: [0] * len(cells) for name, cells in NUMBERS.items()}
    labels: Counter[Label] = Counter()
    for cases in people.values():
        for name, cell in _words(cases):
            words[name][cell] += 1
        for name, value in _numbers(cases):
            numbers[name][cell_of(name, value)] += 1
        labels.update(_labels(cases))
    return Tally(
        len(people),
        {name: tuple(counts) for name, counts in words.items()},
        {name: tuple(counts) for name, counts in numbers.items()},
        dict(labels),
    )


def _words(cases: Sequence[Measures]) -> list[tuple[str, int]]:
    kinds = WORDS["modality"]
    modality = _usual([case.modality for case in cases])
    return [
        ("modality", kinds.index(modality) if modality in kinds else len(kinds) - 1),
        ("dims", WORDS["dims"].index(str(_usual([len(case.size) for case in cases])))),
        ("channels", cell_of_count("channels", _usual([case.channels for case in cases]))),
        ("cases", cell_of_count("cases", len(cases))),
    ]


def _numbers(cases: Sequence[Measures]) -> list[tuple[str, float]]:
    """A patient's own median of each number; a projection has two axes."""
    dims = _usual([len(case.size) for case in cases])
    alike = [case for case in cases if len(case.size) == dims]
    found = [
        (f"spacing_mm_{axis}", median(case.spacing_mm[axis] for case in alike))
        for axis in range(dims)
    ]
    found += [
        (f"size_{axis}", float(median(case.size[axis] for case in alike))) for axis in range(dims)
    ]
    levels = ("intensity_low", "intensity_middle", "intensity_high")
    found += [
        (name, median(case.intensity[at] for case in alike)) for at, name in enumerate(levels)
    ]
    return found


def _labels(cases: Sequence[Measures]) -> list[Label]:
    """A patient's label values, each under one name; of classes the usual one."""
    found = Counter(label for case in cases for label in case.labels)
    classes = sorted(label for label in found if label[0] is None)
    if classes:
        return [max(classes, key=lambda label: found[label])]
    named: dict[int | None, Label] = {}
    for label in sorted(found, key=lambda label: (-found[label], label[1])):
        named.setdefault(label[0], label)
    return list(named.values())


_Value = TypeVar("_Value", str, int)


def _usual(values: Sequence[_Value]) -> _Value:
    """The most frequent; of several the smallest."""
    found = Counter(values)
    return min(found, key=lambda value: (-found[value], value))
