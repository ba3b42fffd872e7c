"""What a site's dataset gives a study: who is in which split, prepared as its contract wants."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fedvox.client.dataset.case import Case
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.lock import together
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.splits import SPLITS, split_of
from fedvox.client.site import People, Roster
from fedvox.client.store import Store
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.study import Study, contract_hash, study_hash
from fedvox.common.tasks.task import Task, task_for
from fedvox.common.volume import Aside, CaseError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Which of a dataset's cases a study can use, and why not the others."""

    usable: frozenset[str]
    aside: Mapping[str, int]
    """Reason -> cases."""


@dataclass(frozen=True)
class DatasetHoldings:
    """The newest version of one dataset, for a trainer. Prepared cases lie in the dataset."""

    dataset: Dataset

    @classmethod
    def open(cls, home: Path, name: str) -> Self:
        """The holdings as they are now; DataError where there is no such dataset."""
        return cls(Dataset.open(home, name))

    @property
    def name(self) -> str:
        """The dataset, as the ledger calls it."""
        return self.dataset.name

    @property
    def version(self) -> str:
        """Its version, as the ledger calls it."""
        return self.dataset.version.name

    def contract(self, study: Study) -> str:
        """The contract under which the cases are prepared for the study."""
        return contract_hash(study)

    def store(self, contract: str) -> Store:
        """Where cases prepared under a contract are."""
        return Store(self.dataset.place.prepared, contract)

    def roster(self, study: Study) -> Roster:
        """Who is in which split; every case named is prepared, and the use is on record."""
        with together(self.dataset.place):
            self._require_present()
            with Manifest(self.dataset.place.manifest) as manifest:
                number = self.dataset.version.number
                manifest.history.record_use(number, study_hash(study), study.study.name)
            usable = self.prepare(study).usable
        people: dict[str, list[tuple[str, ...]]] = {split: [] for split in SPLITS}
        for patient, cases in self.dataset.patients().items():
            keys = tuple(case.key for case in cases if case.key in usable)
            if keys:
                people[split_for(patient, study)].append(keys)
        rosters: dict[str, People] = {split: tuple(found) for split, found in people.items()}
        return Roster(rosters)

    def prepare(self, study: Study) -> Prepared:
        """Prepares what is not yet prepared."""
        task, store = task_for(study), self.store(contract_hash(study))
        usable: set[str] = set()
        aside: Counter[str] = Counter()
        for case, error in self._each(study, task, store):
            if error is None:
                usable.add(case.key)
            else:
                aside[str(error.reason)] += 1
        if aside:
            log.warning("cases that the study cannot use: %s", dict(aside))
        return Prepared(frozenset(usable), dict(aside))

    def _each(
        self, study: Study, task: Task, store: Store
    ) -> Iterator[tuple[Case, CaseError | None]]:
        for case in self.dataset.cases():
            try:
                if case.key not in store:
                    store.put(case.key, task.prepare(self.dataset.load(case, study.task.classes)))
                yield case, None
            except CaseError as error:
                yield case, error
            except MemoryError:
                yield case, CaseError(Aside.UNREADABLE, "larger than this machine's memory")

    def _require_present(self) -> None:
        """A version is left alone once somebody was withdrawn from it."""
        newest = Dataset.open(self.dataset.place.home, self.name)
        if newest.held != self.dataset.held:
            kept = {case.key for case in newest.held}
            if any(case.key not in kept for case in self.dataset.held):
                text = "cases were withdrawn or replaced since the dataset was opened; open again"
                raise SiteError(Refusal.CONTRACT, text)


def split_for(patient: str, study: Study) -> str:
    """The split of a patient in a study."""
    return split_of(patient, study.study.seed, study.data.test, study.data.validation)
