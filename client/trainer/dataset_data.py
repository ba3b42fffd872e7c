"""A data set the site took in itself: always its newest version, prepared once for each study."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from fedvox.client.dataset.holdings import DatasetHoldings
from fedvox.client.site import Roster
from fedvox.client.store import Store
from fedvox.common.study import Study, study_hash

_KEPT_STUDIES = 4


class NewestVersion:
    """Holdings that follow a data set from version to version. For any number of threads."""

    def __init__(self, home: Path, name: str) -> None:
        """DataError where there is no such data set."""
        self.dataset = name
        self._home = home
        self._opened = DatasetHoldings.open(home, name)
        self._rosters: OrderedDict[str, Roster] = OrderedDict()
        self._stores: dict[str, Store] = {}
        self._lock = Lock()

    def seed_name(self, study: Study) -> str:
        """The site's own."""
        return ""

    def version(self, study: Study) -> str:
        """The newest version of the data set."""
        with self._lock:
            return self._newest().version

    def roster(self, study: Study) -> Roster:
        """Who is in which split; every case named is prepared."""
        digest = study_hash(study)
        with self._lock:
            holdings = self._newest()
            if digest not in self._rosters:
                self._rosters[digest] = holdings.roster(study)
                while len(self._rosters) > _KEPT_STUDIES:
                    self._rosters.popitem(last=False)
            return self._rosters[digest]

    def contract(self, study: Study) -> str:
        """The contract under which the cases are prepared for the study."""
        return self._opened.contract(study)

    def store(self, contract: str) -> Store:
        """The prepared cases of a contract; kept, since so are its memory maps."""
        with self._lock:
            holdings = self._newest()
            return self._stores.setdefault(contract, holdings.store(contract))

    def _newest(self) -> DatasetHoldings:
        newest = DatasetHoldings.open(self._home, self.dataset)
        if newest.version != self._opened.version:
            self._rosters.clear()
            self._stores.clear()  # with the maps of cases that may have been withdrawn
            self._opened = newest
        return self._opened
