"""A site's patients to train, validation and test, evenly over the strata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from fedvox.common.errors import DataError
from fedvox.common.study.schema import Study
from fedvox.simulations.patients import Patient


def split_site(patients: Sequence[Patient], site: str, study: Study) -> Mapping[str, str]:
    """Split of each patient of one site: those its file names, else shares or a fold."""
    named = {patient.name: patient.split for patient in patients if patient.split}
    free = [patient for patient in patients if not patient.split]
    if not free:
        return named
    rng = np.random.default_rng([study.study.seed, 1, _number(site)])
    order = _interleaved(free, rng)
    folds = study.simulation.folds
    if folds:
        tested = _fold(order, site, folds, study.simulation.fold)
    else:
        tested = _every(order, _share(study.data.test, len(order), len(order) > 1))
    rest = [patient for patient in order if patient not in tested]
    wanted = study.data.validation * len(order)
    validated = _every(rest, _share(wanted / len(rest), len(rest), len(rest) > 2)) if rest else ()
    splits = dict.fromkeys(order, "train")
    return named | splits | dict.fromkeys(tested, "test") | dict.fromkeys(validated, "validation")


def _interleaved(patients: Sequence[Patient], rng: np.random.Generator) -> list[str]:
    """Patients shuffled, then sorted by stratum: any regular choice from it is stratified."""
    names = sorted(patient.name for patient in patients)
    stratum = {patient.name: patient.stratum for patient in patients}
    shuffled = [names[place] for place in rng.permutation(len(names))]
    return sorted(shuffled, key=lambda name: stratum[name])


def _fold(order: Sequence[str], site: str, folds: int, fold: int) -> frozenset[str]:
    """Every `folds`-th patient: over all folds each is tested once."""
    if len(order) < folds:
        raise DataError(
            f"simulation.folds: {site} has {len(order)} patients, fewer than {folds} folds; use "
            "fewer folds or another partition"
        )
    return frozenset(order[fold::folds])


def _every(order: Sequence[str], count: int) -> frozenset[str]:
    """`count` patients at even distances."""
    places = ((2 * place + 1) * len(order) // (2 * count) for place in range(count))
    return frozenset(order[place] for place in places)


def _share(share: float, count: int, at_least_one: bool) -> int:
    """Patients that make up a share, but never all of them."""
    if share <= 0:
        return 0
    return min(max(round(share * count), int(at_least_one)), max(count - 1, 0))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
