"""What a site has for a study, opened without leaving a trace that the study was here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.site import People, Roster
from fedvox.client.store import Store
from fedvox.common.study import Study, load_study
from fedvox.common.tasks.task import Prepared

if TYPE_CHECKING:
    from fedvox.client.dataset.case import Case

_OWN = "dataset:"
LOOKED_AT = 16
"""Cases of which voxels are read; spread over all that there are."""


@dataclass(frozen=True)
class Supply:
    """Cases of a site, prepared for a study."""

    roster: Roster
    store: Store
    aside: Mapping[str, int] = field(default_factory=dict)
    """Reason -> cases that the study cannot use."""
    cases: tuple[Case, ...] = ()
    """As they were taken in; none of phantoms."""

    def patients(self, split: str) -> int:
        """How many patients a split has."""
        return self.roster.patients.get(split, 0)

    def prepared(self, split: str = "train") -> Iterator[Prepared]:
        """Every prepared case of a split, as memory maps."""
        return map(self.store.get, self.roster.keys.get(split, ()))

    def some_prepared(self) -> Iterator[Prepared]:
        """A few training cases, evenly spread."""
        keys = self.roster.keys.get("train", ())
        step = max(1, -(-len(keys) // LOOKED_AT))
        return map(self.store.get, islice(keys, 0, None, step))


def supply(home: Path, spec: str, study: Study) -> Supply:
    """What `spec` has for the study; FedvoxError or SiteError where it has nothing to open."""
    if spec.startswith(_OWN):
        return _of_dataset(home, spec.removeprefix(_OWN), study)
    from fedvox.client.trainer.data import open_holdings

    holdings = open_holdings(home, spec)
    return Supply(holdings.roster(study), holdings.store(holdings.contract(study)))


def _of_dataset(home: Path, name: str, study: Study) -> Supply:
    """As the trainer will see it; but a study that is only looked at is no use to be recorded."""
    from fedvox.client.dataset.holdings import DatasetHoldings, split_for
    from fedvox.client.dataset.lock import together
    from fedvox.client.dataset.splits import SPLITS

    holdings = DatasetHoldings.open(home, name)
    with together(holdings.dataset.place):
        prepared = holdings.prepare(study)
    people: dict[str, list[tuple[str, ...]]] = {split: [] for split in SPLITS}
    for patient, cases in holdings.dataset.patients().items():
        keys = tuple(case.key for case in cases if case.key in prepared.usable)
        if keys:
            people[split_for(patient, study)].append(keys)
    rosters: dict[str, People] = {split: tuple(found) for split, found in people.items()}
    store = holdings.store(holdings.contract(study))
    return Supply(Roster(rosters), store, prepared.aside, holdings.dataset.cases())


def study_to_check(path: Path, settings: list[str]) -> Study:
    """The study in a file; one on phantoms is completed as its proposer completes it."""
    study = load_study(path, settings)
    if study.data.source != "phantom":
        return study
    (found,) = entry_points(group="fedvox.simulation", name="complete")
    completed: Study = found.load()(path, settings)
    return completed
