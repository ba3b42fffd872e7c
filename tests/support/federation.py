"""A federation of three small sites in this process, over real messages, grid and ClientApp."""

from collections.abc import Callable, Mapping
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from small import ball

from fedvox.client.app import client_app
from fedvox.client.site import Roster, Site
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.common.study import Study, contract_hash, study_hash
from fedvox.common.tasks.task import initial_weights, task_for
from fedvox.server.conduct import Conducted, conduct
from fedvox.server.events import Watch
from fedvox.simulations.inprocess import InProcessGrid

SITES = ("east", "north", "west")


class SmallSites:
    """Finds a site by its partition number."""

    def __init__(
        self, home: Path, study: Study, rosters: Mapping[str, Roster] | None = None
    ) -> None:
        self._home = home
        self._study = study
        self._store = Store(home / "cache", contract_hash(study))
        task = task_for(study)
        for number in range(9):
            if f"c{number}" not in self._store:
                self._store.put(f"c{number}", task.prepare(ball(number)))
        self._rosters = rosters or {site: three_cases(n) for n, site in enumerate(SITES)}

    def site(self, context: Context, study: Study) -> Site:
        name = list(self._rosters)[int(context.node_config["partition-id"])]
        state = SiteState(self._home / name, study_hash(study))
        return Site(name, self._rosters[name], self._store, state, contract_hash(self._study))


def three_cases(n: int) -> Roster:
    first, second, test = f"c{3 * n}", f"c{3 * n + 1}", ((f"c{3 * n + 2}",),)
    train = ((first,), (second,)) if n else ((first, second),)
    return Roster({"train": train, "validation": test, "test": test})


def run(
    study: Study,
    home: Path,
    *,
    workers: int = 2,
    sites: SmallSites | None = None,
    watch: Watch = lambda event: None,
    wrap: Callable[[Grid], Grid] = lambda grid: grid,
    app: ClientApp | None = None,
) -> Conducted:
    """Conducts the study in home/run; `wrap` may put something between rounds and grid."""
    (home / "run").mkdir(parents=True, exist_ok=True)
    own = app or client_app(sites or SmallSites(home, study))
    with InProcessGrid(own, len(SITES), workers) as grid:
        return conduct(
            wrap(grid), study, home / "run", lambda: initial_weights(study),
            task_for(study).metrics, watch,
        )  # fmt: skip
