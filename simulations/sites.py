"""The sites of a simulation, as the ClientApp finds them: by partition number."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context

from fedvox.client.site import Site
from fedvox.client.state import Perform, SiteState, at_once
from fedvox.client.store import cache_folder
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.study import Study, contract_hash, study_hash
from fedvox.simulations.consortium import Consortium, gather
from fedvox.simulations.sources import open_source


def sites_of_run(context: Context) -> SimulatedSites:
    """The sites of a run that `flwr run` started; what they remember lies beside what it makes."""
    out = str(context.run_config.get("out", ""))
    home = Path(out) if out else cache_folder() / "flower" / str(context.run_id)
    return SimulatedSites(home / "sites")


class SimulatedSites:
    """Finds sites in a consortium; another process that receives this gathers its own."""

    def __init__(self, home: Path, consortium: Consortium | None = None) -> None:
        self._home = home.resolve()
        self._consortium = consortium
        self._lock = threading.Lock()
        self.perform: Perform = at_once
        """How the sites' states are written."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_home": self._home}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_home"])  # type: ignore[misc]

    def site(self, context: Context, study: Study) -> Site:
        """The site with the node's partition number."""
        consortium = self._gathered(study)
        index = int(context.node_config["partition-id"])
        if index >= len(consortium.sites):
            raise SiteError(Refusal.EMPTY, f"partition {index} of {len(consortium.sites)} sites")
        name = consortium.sites[index]
        state = SiteState(self._home / name, study_hash(study), self.perform)
        roster, contract = consortium.rosters[name], contract_hash(consortium.study)
        guard = None
        if study.privacy.mode == "patient":
            from fedvox.simulations.guards import simulated_guard

            guard = simulated_guard(self._home / name, name, roster, study)
        return Site(name, roster, consortium.store, state, contract, guard)

    def _gathered(self, study: Study) -> Consortium:
        with self._lock:
            if self._consortium is None:
                source = open_source(study.data.source, study)
                self._consortium = gather(study, source, workers=1)
                # This process is a worker of its own, and its threads are part of the result.
                torch.set_num_threads(study.simulation.threads)
            return self._consortium
