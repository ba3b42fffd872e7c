"""A site's dataset as a source: `store:HOME/NAME`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.client.dataset.caches import source_fingerprint
from fedvox.client.dataset.case import Case, Facts
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.store import cache_folder
from fedvox.common.errors import DataError
from fedvox.common.study.schema import Study
from fedvox.common.volume import Aside, CaseError, Volume
from fedvox.simulations.naming import natural, safe
from fedvox.simulations.sources.source import CaseRef, Suggestions
from fedvox.simulations.sources.survey import Look, class_values, suggested

_SMALLEST_PATCH = 16


@dataclass(frozen=True)
class StoreSource:
    """The labelled cases of a dataset's newest version."""

    dataset: Dataset
    kind: str
    classes: tuple[str, ...]
    """Of classification, as the study names them; empty: as the labels do."""

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name

    def cases(self) -> Sequence[CaseRef]:
        """The cases that have a label of the task's kind."""
        return [_ref(case) for case in self.dataset.cases() if self._fits(case)]

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """The cases that have not."""
        error = CaseError(Aside.NO_LABEL, f"no label for {self.kind}")
        return [(case.key, error) for case in self.dataset.cases() if not self._fits(case)]

    def fingerprint(self, ref: CaseRef) -> str:
        """The case's own hash."""
        return source_fingerprint(self.dataset.case(ref.case))

    def load(self, ref: CaseRef) -> Volume:
        """The case from the store."""
        return self.dataset.load(self.dataset.case(ref.case), self.classes)

    def suggests(self) -> Suggestions:
        """Classes, channels, patch and (where images differ) spacing and orientation."""
        facts = [case.facts for case in self.dataset.cases() if self._fits(case)]
        task: dict[str, Any] = {"kind": self.kind}
        data = _data(facts)
        if self.kind == "classification":
            names = self.classes or self.dataset.class_names
            task["classes"] = sorted(names, key=natural) if not self.classes else list(names)
            data["size"] = data.pop("patch")
        else:
            task["classes"], label_map = _classes(facts)
            if label_map:
                data["label_map"] = label_map
        return {"study": {"name": safe(self.name, "study")}, "task": task, "data": data}

    def _fits(self, case: Case) -> bool:
        return case.facts.label == ("class" if self.kind == "classification" else "map")


def open_store(spec: str, study: Study) -> StoreSource:
    """The source that HOME/NAME names; DataError where there is no such dataset."""
    path = Path(spec).expanduser().absolute()
    if path.parent.name == "data":  # HOME/data/NAME, as it lies on disk, is meant as well
        path = path.parent.parent / path.name
    dataset = Dataset.open(path.parent, path.name)
    with Manifest(dataset.place.manifest) as manifest:
        # So that whoever is withdrawn from the dataset is withdrawn from there, too.
        manifest.history.record_cache(cache_folder())
    kinds = {case.facts.label for case in dataset.cases()} - {""}
    if not kinds:
        raise DataError(
            f"data.source: store:{spec}: no case of this dataset has a label; ingest again with "
            "--labels"
        )
    kind = "classification" if kinds == {"class"} else study.task.kind
    return StoreSource(dataset, kind, study.task.classes if kind == "classification" else ())


def _ref(case: Case) -> CaseRef:
    facts = case.facts
    columns = {name: str(value) for name, value in facts.attributes.items()}
    columns["modality"] = facts.modality
    if facts.class_name:
        columns["class"] = facts.class_name
    return CaseRef(case.key, case.patient, columns)


def _data(facts: Sequence[Facts]) -> dict[str, Any]:
    """Keys of [data] that suit the images."""
    if not facts:
        return {"channels": 1, "patch": [_SMALLEST_PATCH] * 3}
    looks = [Look(one.shape[1:], one.shape[0], one.spacing_mm, one.axes) for one in facts]
    return suggested(looks, 2 if all(one.planar for one in facts) else 3)


def _classes(facts: Sequence[Facts]) -> tuple[list[str], dict[str, int]]:
    """Names of the values in the label maps, and the map where they are not class indices."""
    ordered = class_values(value for one in facts for value in one.values)
    named = _names(facts)
    names = ["background", *(named.get(value, f"label-{value}") for value in ordered[1:])]
    contiguous = ordered == list(range(len(ordered)))
    return names, {} if contiguous else {str(value): at for at, value in enumerate(ordered)}


def _names(facts: Sequence[Facts]) -> Mapping[int, str]:
    """What values are called, where every label that names them agrees, no two alike."""
    said: dict[int, set[str]] = {}
    for one in facts:
        for value, name in one.names.items():
            said.setdefault(value, set()).add(name)
    agreed = {value: names.copy().pop() for value, names in said.items() if len(names) == 1}
    counts = list(agreed.values())
    taken = {name for name in counts if counts.count(name) > 1} | {"background", ""}
    return {value: name for value, name in agreed.items() if name not in taken}
