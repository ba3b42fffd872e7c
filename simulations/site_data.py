"""The patients of one simulated site, for a trainer that has no images of its own yet."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from fedvox.client.site import Roster
from fedvox.client.store import Store, cache_folder
from fedvox.common.errors import InputError, Refusal, SiteError
from fedvox.common.study import Study, contract_hash, study_hash
from fedvox.simulations.consortium import gather
from fedvox.simulations.sources import open_source

_KEPT_STUDIES = 4


def phantom_holdings(argument: str, home: Path) -> PhantomHoldings:
    """The holdings that `--data phantom:INDEX` names."""
    if not argument.isdecimal():
        raise InputError(f"data = 'phantom:{argument}': the simulated sites have numbers")
    return PhantomHoldings(int(argument))


class PhantomHoldings:
    """What the simulation of a study gives its site number `index`: the same patients, splits and
    preparation, so that a consortium of such sites trains the simulation's model.

    The sites are counted from 1, and round: of four, 0 and 4 are the same. So a consortium whose
    sites are counted from 0 holds everybody as well.
    """

    dataset = "phantom"

    def __init__(self, index: int) -> None:
        self._index = index
        self._rosters: OrderedDict[str, Roster] = OrderedDict()
        self._stores: dict[str, Store] = {}
        self._lock = Lock()

    def version(self, study: Study) -> str:
        """A hash over the patients one may train on."""
        people = self.roster(study).people.get("train", ())
        keys = sorted(key for cases in people for key in cases)
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]

    def roster(self, study: Study) -> Roster:
        """The site's own rows of the partition; the other sites' patients only divide the strata,
        and are painted for that."""
        if study.data.source != "phantom":
            raise SiteError(Refusal.EMPTY, f"holds phantoms only, not {study.data.source!r}")
        key = study_hash(study)
        with self._lock:
            if key not in self._rosters:
                self._rosters[key] = self._gathered(study)
                while len(self._rosters) > _KEPT_STUDIES:
                    self._rosters.popitem(last=False)
            return self._rosters[key]

    def seed_name(self, study: Study) -> str:
        """The name of the site in the simulation."""
        sites = study.simulation.sites
        return f"site-{(self._index - 1) % sites + 1}"

    def contract(self, study: Study) -> str:
        """Phantoms are prepared as every study wants them."""
        return contract_hash(study)

    def store(self, contract: str) -> Store:
        """The prepared phantoms of all simulations on this machine."""
        with self._lock:
            return self._stores.setdefault(contract, Store(cache_folder() / "prepared", contract))

    def _gathered(self, study: Study) -> Roster:
        consortium = gather(study, open_source("phantom", study), workers=1)
        name = self.seed_name(study)
        if name not in consortium.rosters:
            raise SiteError(Refusal.EMPTY, f"the study has no {name}")
        return consortium.rosters[name]
