"""Evaluation at the sites: each sends a tally of its own patients, and tallies add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedvox.common.arrays import sha256_of
from fedvox.common.messages import Reply
from fedvox.common.tasks.task import Tally
from fedvox.server.admit import Code, Rejected
from fedvox.server.asking import Ear, Patience, ask
from fedvox.server.events import Event
from fedvox.server.strategies.strategy import State

if TYPE_CHECKING:
    from fedvox.server.rounds import Federation

Metrics = Callable[[Tally], dict[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """Tallies by site, and the metrics that follow from them."""

    split: str
    tallies: Mapping[str, Tally]
    sites: Mapping[str, Mapping[str, float]]
    union: Mapping[str, float]

    @property
    def union_tally(self) -> Tally:
        """The tally of all sites' patients together."""
        return add_up(self.tallies)

    def as_record(self) -> dict[str, Any]:
        """Plain values for rounds.jsonl."""
        sites = {site: dict(metrics) for site, metrics in self.sites.items()}
        return {"split": self.split, "union": dict(self.union), "sites": sites}


def evaluate(federation: Federation, state: State, number: int, split: str) -> Evaluation | None:
    """The model of a state on every site's patients of a split; None when no site has any."""
    weights_sha256 = sha256_of(state.weights)
    tallies: dict[str, Tally] = {}

    def accept(site: str, reply: Reply) -> None:
        tally = reply.arrays.get("tally", {})
        if reply.round != number or reply.weights_sha256 != weights_sha256:
            raise Rejected(Code.ROUND, "a tally of another round or other weights")
        if not tally or not all(np.isfinite(array).all() for array in tally.values()):
            raise Rejected(Code.NOT_FINITE, "an empty tally, or one that is not finite")
        tallies[site] = {name: np.asarray(array, np.float64) for name, array in tally.items()}

    request = federation.request("evaluate", state, number, weights_sha256, split=split)
    patience = Patience(need=0, deadline_s=federation.study.participation.deadline_s, retries=1)

    def awaited(sites: dict[str, str]) -> None:
        federation.watch(Event("awaited", number, detail={"sites": sites, "split": split}))

    holders = federation.holders(split)
    ear = Ear(accept, awaited=awaited)
    ask(federation.grid, federation.presence, holders, request, patience, ear)
    if not tallies:
        return None
    result = from_tallies(split, tallies, federation.metrics)
    for site, metrics in result.sites.items():
        federation.watch(Event("evaluated", number, site, metrics, {"split": split}))
    federation.watch(Event("evaluated", number, "", result.union, {"split": split}))
    return result


def from_tallies(split: str, tallies: Mapping[str, Tally], metrics: Metrics) -> Evaluation:
    """Metrics of each site and of all together."""
    ordered = {site: tallies[site] for site in sorted(tallies)}
    sites = {site: metrics(tally) for site, tally in ordered.items()}
    return Evaluation(split, ordered, sites, metrics(add_up(ordered)))


def add_up(tallies: Mapping[str, Tally]) -> Tally:
    """The sum over sites, in the order of their names: floating-point sums keep their bits."""
    total: Tally = {}
    for site in sorted(tallies):
        for name, array in tallies[site].items():
            total[name] = total[name] + array if name in total else array
    return total
