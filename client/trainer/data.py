"""Where the trainer's cases come from: `dataset:NAME`, or what another package offers by name."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from fedvox.client.site import Roster
from fedvox.client.store import Store
from fedvox.common.errors import InputError, nearest
from fedvox.common.study import Study

GROUP = "fedvox.data"
"""Entry points: name -> function of (argument, home) that gives Holdings."""
_OWN = "dataset"


class Holdings(Protocol):
    """The cases of a site, for whatever study asks. For any number of threads."""

    @property
    def dataset(self) -> str:
        """Name of the data set, under which the privacy ledger is kept."""

    def seed_name(self, study: Study) -> str:
        """The name that the site's random streams begin with; empty: the site's own."""

    def version(self, study: Study) -> str:
        """Which version of the data set a study sees; another for other patients."""

    def roster(self, study: Study) -> Roster:
        """Whose cases there are for the study, by split; SiteError where there can be none."""

    def contract(self, study: Study) -> str:
        """Hash of the data contract that the study's cases are prepared under."""

    def store(self, contract: str) -> Store:
        """The prepared cases of a contract."""


def open_holdings(home: Path, spec: str) -> Holdings:
    """The holdings that `spec` names; InputError where it names none."""
    kind, colon, argument = spec.partition(":")
    if not spec:
        raise InputError(
            "the site has no data: take images in with `fedvox site ingest` and set data = "
            '"dataset:NAME" in site.toml, or try it out with --data phantom:1'
        )
    if colon and kind == _OWN:
        from fedvox.client.trainer.dataset_data import NewestVersion

        return NewestVersion(home, argument)
    offered = {found.name: found for found in entry_points(group=GROUP)}
    if not colon or kind not in offered:
        hint = nearest(kind, [_OWN, *offered])
        raise InputError(f"data = {spec!r}: write it as KIND:NAME; {hint}")
    found: Holdings = offered[kind].load()(argument, home)
    return found
