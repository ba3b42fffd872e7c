"""From exact counts to what may leave: gathered and rounded, or noised."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedvox.client.cohort.noise import Draw, noised, reach, system_draw
from fedvox.client.cohort.suppress import gathered, gathered_kinds, gathered_share, rounded
from fedvox.client.cohort.tally import Counts, Tally
from fedvox.common.cohort.axes import LABEL_VALUES, NUMBERS, WORDS
from fedvox.common.cohort.summary import NAME, LabelCount, NoiseTerms, Summary
from fedvox.common.privacy.bucket import bucketed

Release = Literal["counts", "histograms"]
Task = Literal["segmentation", "classification", "none"]


@dataclass(frozen=True)
class Heading:
    """What a summary says besides counts."""

    site: str
    dataset: str
    """Stands for the version, by the site's own key."""
    release: Release
    least_cell: int


def without_noise(found: Tally, heading: Heading) -> Summary:
    """What may be told where policy and people trust in rounding and minimum cells."""
    least, of = heading.least_cell, found.patients
    words = {name: gathered_kinds(counts, least) for name, counts in found.words.items()}
    numbers = {name: gathered(counts, of, least) for name, counts in _told(found, heading).items()}
    labels = (*_values(found, least), *_classes(found, least))
    return _summary(
        heading,
        None,
        _task(labels),
        bucketed(of) if of >= least else 0,
        {name: rounded(counts) for name, counts in words.items()},
        {name: rounded(counts) for name, counts in numbers.items()},
        labels,
    )


def with_noise(
    found: Tally,
    heading: Heading,
    terms: NoiseTerms,
    classes: Sequence[str],
    draw: Draw = system_draw,
) -> Summary:
    """What may be told to anybody: every count that could be told is there, with noise.

    Which labels are counted must not come from the data: the given classes, or else values 1 to 8.
    """
    least, deviation = heading.least_cell, terms.deviation

    def hidden(counts: Sequence[int]) -> Counts:
        return noised(counts, deviation, least, draw)

    if classes:
        of_class = hidden([found.classes.get(name, 0) for name in classes])
        labels = [
            LabelCount(name=name, patients=count)
            for name, count in zip(classes, of_class, strict=True)
        ]
    else:
        with_value = hidden([found.with_value(value) for value in LABEL_VALUES])
        labels = [
            LabelCount(value=value, patients=count)
            for value, count in zip(LABEL_VALUES, with_value, strict=True)
        ]
    return _summary(
        heading,
        terms,
        "classification" if classes else "segmentation",
        hidden([found.patients])[0],
        {name: hidden(counts) for name, counts in found.words.items()},
        {name: hidden(counts) for name, counts in _told(found, heading).items()},
        tuple(label for label in labels if label.patients),
    )


def reach_of(heading: Heading, classes: Sequence[str]) -> float:
    """How far one patient can move everything that `with_noise` tells."""
    labels = 1 if classes else len(LABEL_VALUES)
    numbers = len(NUMBERS) if heading.release == "histograms" else 0
    return reach(1 + len(WORDS) + numbers + labels)


def _told(found: Tally, heading: Heading) -> Mapping[str, Counts]:
    return found.numbers if heading.release == "histograms" else {}


def _values(found: Tally, least: int) -> tuple[LabelCount, ...]:
    """Values of label maps, named where enough patients' labels name them so."""
    told = []
    for value in sorted({value for value, _ in found.labels if value is not None}):
        count = gathered_share(found.with_value(value), found.patients, least)
        if count:
            name = _name(found, value, least)
            told.append(LabelCount(value=value, name=name, patients=bucketed(count)))
    return tuple(told)


def _name(found: Tally, value: int, least: int) -> str:
    """Names are free text, and one that only few share may be somebody's."""
    names = Counter({name: n for (held, name), n in found.labels.items() if held == value and name})
    name, count = min(names.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return name if count >= least and re.fullmatch(NAME, name) else ""


def _classes(found: Tally, least: int) -> tuple[LabelCount, ...]:
    """Classes of whole images; who has none is counted among the others, as a class would be."""
    names = sorted(name for name in found.classes if re.fullmatch(NAME, name))
    counts = [found.classes[name] for name in names]
    counts = list(gathered_kinds([*counts, found.patients - sum(counts)], least))[:-1]
    return tuple(
        LabelCount(name=name, patients=bucketed(count))
        for name, count in zip(names, counts, strict=True)
        if count
    )


def _task(labels: Sequence[LabelCount]) -> Task:
    """By what is told, not by what is there."""
    if not labels:
        return "none"
    of_class = sum(label.patients for label in labels if label.value is None)
    of_value = max((label.patients for label in labels if label.value is not None), default=0)
    return "classification" if of_class > of_value else "segmentation"


def _summary(
    heading: Heading,
    noise: NoiseTerms | None,
    task: Task,
    patients: int,
    words: Mapping[str, Counts],
    numbers: Mapping[str, Counts],
    labels: tuple[LabelCount, ...],
) -> Summary:
    return Summary(
        site=heading.site,
        dataset=heading.dataset,
        release=heading.release,
        least_cell=heading.least_cell,
        noise=noise,
        task=task,
        patients=patients,
        words=dict(words),
        numbers=dict(numbers),
        labels=labels,
    )
