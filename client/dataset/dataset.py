"""A dataset to read from: the cases of its newest version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from fedvox.client.dataset import casefile
from fedvox.client.dataset.case import Case
from fedvox.client.dataset.casefile import Content
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place, existing
from fedvox.client.dataset.versions import Version
from fedvox.common.codec import CodecError
from fedvox.common.errors import DataError
from fedvox.common.volume import Aside, CaseError, Volume


@dataclass(frozen=True)
class Dataset:
    """The newest version of a dataset, as it was when this was opened."""

    place: Place
    version: Version
    held: tuple[Case, ...]

    @classmethod
    def open(cls, home: Path, name: str) -> Self:
        """The newest version; DataError where there is no such dataset, or nothing in it."""
        place = existing(home, name)
        with Manifest(place.manifest) as manifest:
            version = manifest.version()
            if version is None:
                raise DataError(
                    f"dataset {name!r}: no import has come to an end yet; run site ingest again"
                )
            return cls(place, version, tuple(manifest.cases(version.number)))

    @property
    def name(self) -> str:
        """What the site calls it."""
        return self.place.name

    def cases(self) -> tuple[Case, ...]:
        """Every case, by key."""
        return self.held

    def case(self, key: str) -> Case:
        """The case whose key begins so; DataError where there is none, or more than one."""
        if key in self._by_key:
            return self._by_key[key]
        found = [case for case in self.held if case.key.startswith(key)]
        if len(found) == 1 and key:
            return found[0]
        why = "more than one case begins so; give more of it" if found else "no such case"
        raise DataError(f"dataset {self.name!r}: {why}; fedvox site data list shows them")

    @cached_property
    def _by_key(self) -> Mapping[str, Case]:
        return {case.key: case for case in self.held}

    def patients(self) -> Mapping[str, tuple[Case, ...]]:
        """The cases of each pseudonym, sorted."""
        people: dict[str, list[Case]] = {}
        for case in self.held:
            people.setdefault(case.patient, []).append(case)
        return {name: tuple(people[name]) for name in sorted(people)}

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Every class that a case is labelled with, sorted."""
        return tuple(sorted({c.facts.class_name for c in self.held if c.facts.label == "class"}))

    def content(self, case: Case) -> Content:
        """Voxels as they were stored, through memory maps; CaseError where they are damaged."""
        try:
            return casefile.read(self.place.case(case.key), case.facts)
        except (OSError, CodecError, KeyError, ValueError):
            raise CaseError(Aside.UNREADABLE, f"case {case.key[:12]}: its file is gone") from None

    def load(self, case: Case, classes: Sequence[str] = ()) -> Volume:
        """The case for a task; a class label becomes its place in `classes`, or in all classes.

        Projections have two spatial axes. CaseError where the case has no label.
        """
        content = self.content(case)
        image: npt.NDArray[np.float32] = np.asarray(content.image, dtype=np.float32)
        label = self._label(case, content, classes or self.class_names)
        if case.facts.planar and image.shape[3] == 1:
            image = image[..., 0]
            label = label[..., 0] if isinstance(label, np.ndarray) else label
        return Volume(image, content.affine, label)

    def _label(
        self, case: Case, content: Content, classes: Sequence[str]
    ) -> npt.NDArray[np.int32] | int:
        if content.label is not None:
            return content.label.astype(np.int32)
        if case.facts.label != "class":
            raise CaseError(Aside.NO_LABEL, f"case {case.key[:12]}: not labelled")
        return class_index(case.facts.class_name, classes)

    def damaged(self) -> list[str]:
        """Keys of cases whose files are gone or not what was stored. Reads every voxel."""
        return [case.key for case in self.held if not self._is_whole(case)]

    def _is_whole(self, case: Case) -> bool:
        try:
            return casefile.verified(self.place.case(case.key), case.facts) == case.key
        except (OSError, CodecError, KeyError, ValueError):
            return False


def class_index(name: str, classes: Sequence[str]) -> int:
    """A class's number: its place among the names, or itself where it is a number."""
    if name in classes:
        return list(classes).index(name)
    try:
        return int(name)
    except ValueError:
        raise CaseError(Aside.LABEL_VALUE, f"class {name!r} is not one of task.classes") from None
