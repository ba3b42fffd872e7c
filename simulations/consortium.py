"""From a data source to virtual hospitals: cases prepared, bad ones set aside, sites filled."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedvox.client.site import Roster
from fedvox.client.store import Store, cache_folder
from fedvox.common.errors import DataError
from fedvox.common.study import Study, contract_hash
from fedvox.common.tasks.task import Prepared, task_for
from fedvox.common.volume import Aside, CaseError
from fedvox.simulations.partition import Row, partition, tertiles
from fedvox.simulations.sources import CaseRef, Source

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SetAside:
    """A case that is not used, and why."""

    case: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Consortium:
    """Who holds what, ready to train on."""

    study: Study
    rows: tuple[Row, ...]
    keys: Mapping[str, str]
    """Case -> key in the store."""
    strata: Mapping[str, int]
    """Case -> class, or tertile of the labelled volume."""
    store: Store
    aside: tuple[SetAside, ...]

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, sorted as their nodes are numbered."""
        return tuple(sorted({row.site for row in self.rows}))

    @cached_property
    def rosters(self) -> Mapping[str, Roster]:
        """What each site has."""
        rows: dict[str, list[Row]] = {site: [] for site in self.sites}
        for row in self.rows:
            rows[row.site].append(row)
        return {site: _roster(own, self.keys) for site, own in rows.items()}

    @cached_property
    def pooled(self) -> Roster:
        """What all sites have together."""
        return _roster(self.rows, self.keys)


def gather(
    study: Study, source: Source, workers: int, progress: Progress = lambda done, total: None
) -> Consortium:
    """Prepares every case of the source under the study's contract and divides them among sites."""
    contract = contract_hash(study)
    store = Store(cache_folder() / "prepared", contract)
    aside = [SetAside(case, str(error.reason), error.detail) for case, error in source.aside()]
    refs = source.cases()
    keys = _prepare_all(study, source, refs, store, workers, aside, progress)
    kept = _without_duplicates([ref for ref in refs if ref.case in keys], keys, aside)
    if not kept:
        reasons = ", ".join(f"{n} x {r}" for r, n in Counter(a.reason for a in aside).items())
        raise DataError(f"{source.name}: no usable case; set aside: {reasons or 'nothing found'}")
    strata = _strata(study, {ref.case: store.get(keys[ref.case]) for ref in kept})
    rows = partition(kept, strata, study)
    return Consortium(study, rows, keys, strata, store, tuple(aside))


def _prepare_all(
    study: Study,
    source: Source,
    refs: Sequence[CaseRef],
    store: Store,
    workers: int,
    aside: list[SetAside],
    progress: Progress,
) -> dict[str, str]:
    task = task_for(study)
    done = 0
    keys: dict[str, str] = {}

    def prepare(ref: CaseRef) -> str | CaseError:
        key = hashlib.sha256(source.fingerprint(ref).encode()).hexdigest()[:40]
        try:
            if key not in store:
                store.put(key, task.prepare(source.load(ref)))
        except CaseError as error:
            return error
        except MemoryError:
            return CaseError(Aside.UNREADABLE, "larger than this machine's memory")
        return key

    with ThreadPoolExecutor(workers, "prepare") as pool:
        for ref, key in zip(refs, pool.map(prepare, refs), strict=True):
            done += 1
            progress(done, len(refs))
            if isinstance(key, CaseError):
                aside.append(SetAside(ref.case, str(key.reason), key.detail))
            else:
                keys[ref.case] = key
    return keys


def _without_duplicates(
    refs: Sequence[CaseRef], keys: Mapping[str, str], aside: list[SetAside]
) -> list[CaseRef]:
    """The same content twice counts once: a patient in two sites would be in training and test."""
    first: dict[str, str] = {}
    kept = []
    for ref in refs:
        twin = first.setdefault(keys[ref.case], ref.case)
        if twin == ref.case:
            kept.append(ref)
        else:
            aside.append(SetAside(ref.case, str(Aside.DUPLICATE), f"same content as {twin}"))
    return kept


def _strata(study: Study, cases: Mapping[str, Prepared]) -> dict[str, int]:
    if study.task.kind == "classification":
        return {name: int(case.label) for name, case in cases.items()}
    return tertiles({name: float(np.count_nonzero(case.label)) for name, case in cases.items()})


def _roster(rows: Sequence[Row], store_keys: Mapping[str, str]) -> Roster:
    people: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        cases = people.setdefault(row.split, {}).setdefault(row.patient, [])
        cases.append(store_keys[row.case])
    return Roster({s: tuple(map(tuple, patients.values())) for s, patients in people.items()})
