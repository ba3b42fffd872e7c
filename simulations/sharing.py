"""Patients to sites: the rules that `data.partition` may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedvox.common.errors import DataError, nearest
from fedvox.common.study.schema import Study
from fedvox.simulations.assigned import by_column, by_file
from fedvox.simulations.patients import Patient

_DRAWS = 200
"""Dirichlet or log-normal sizes are drawn anew so often until every site has enough."""
_ENOUGH = 4
"""Patients a site should have: two to train on, one to validate and one to test."""


def assign_sites(patients: Sequence[Patient], study: Study) -> tuple[list[Patient], dict[str, str]]:
    """The patients that take part (with the split their file gave them), and the site of each."""
    spec = study.data.partition
    name, _, argument = spec.partition(":")
    if name == "file":
        return by_file(patients, Path(argument).expanduser())
    if name == "column":
        return list(patients), by_column(patients, argument)
    rule = _RULES.get(name)
    if rule is None:
        hint = nearest(name, [*_RULES, "column", "file"])
        raise DataError(f"data.partition: unknown rule {spec!r}; {hint}")
    sites = study.simulation.sites
    if sites > len(patients):
        raise DataError(
            f"simulation.sites: {sites} sites, but only {len(patients)} patients; use fewer sites"
        )
    deal = rule(spec, argument)
    rng = np.random.default_rng([study.study.seed, 0])
    least = min(max(_ENOUGH, study.simulation.folds), len(patients) // sites)
    for _ in range(_DRAWS):
        numbers = deal(patients, sites, rng)
        if np.bincount(numbers, minlength=sites).min() >= least:
            return list(patients), {
                patient.name: f"site-{number + 1}"
                for patient, number in zip(patients, numbers.tolist(), strict=True)
            }
    raise DataError(
        f"data.partition: {spec} left a site with fewer than {least} patients in each of {_DRAWS} "
        f"draws ({len(patients)} patients, {sites} sites); use fewer sites or a milder number"
    )


Numbers = npt.NDArray[np.int64]
Deal = Callable[[Sequence[Patient], int, np.random.Generator], Numbers]
"""Patients, number of sites, rng -> site number of each patient."""


def _iid(spec: str, argument: str) -> Deal:
    if spec != "iid":
        raise DataError(f"data.partition: {spec}: iid takes no argument {argument!r}; write 'iid'")

    def deal(patients: Sequence[Patient], sites: int, rng: np.random.Generator) -> Numbers:
        order = rng.permutation(len(patients))
        order = order[np.argsort(_strata(patients)[order], kind="stable")]
        numbers = np.empty(len(patients), dtype=np.int64)
        numbers[order] = np.arange(len(patients)) % sites
        return numbers

    return deal


def _dirichlet(spec: str, argument: str) -> Deal:
    alpha = _number(spec, argument, "dirichlet:0.5", above=0.0)

    def deal(patients: Sequence[Patient], sites: int, rng: np.random.Generator) -> Numbers:
        strata = _strata(patients)
        numbers = np.empty(len(patients), dtype=np.int64)
        for stratum in np.unique(strata):
            own = rng.permutation(np.flatnonzero(strata == stratum))
            shares = rng.dirichlet(np.full(sites, alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(own)).astype(int)
            for number, part in enumerate(np.split(own, cuts)):
                numbers[part] = number
        return numbers

    return deal


def _quantity(spec: str, argument: str) -> Deal:
    sigma = _number(spec, argument, "quantity:1.0", above=-1e-12)

    def deal(patients: Sequence[Patient], sites: int, rng: np.random.Generator) -> Numbers:
        sizes = rng.lognormal(0, sigma, sites)
        cuts = np.rint(np.cumsum(sizes)[:-1] / sizes.sum() * len(patients)).astype(int)
        numbers = np.empty(len(patients), dtype=np.int64)
        for number, part in enumerate(np.split(rng.permutation(len(patients)), cuts)):
            numbers[part] = number
        return numbers

    return deal


_RULES: Mapping[str, Callable[[str, str], Deal]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "quantity": _quantity,
}


def _strata(patients: Sequence[Patient]) -> Numbers:
    return np.array([patient.stratum for patient in patients], dtype=np.int64)


def _number(spec: str, argument: str, example: str, above: float) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = float("nan")
    if not above < number < float("inf"):
        raise DataError(f"data.partition: {spec}: needs a positive number, as in {example}")
    return number
