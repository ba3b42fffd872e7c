"""Finding out what the sites have, before the first round and when one comes later."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from fedvox.common import __version__
from fedvox.common.errors import QuorumError
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study, contract_hash, dump_study
from fedvox.server.admit import Code, Rejected
from fedvox.server.asking import Answers, Ear, Patience, ask, patience_for
from fedvox.server.events import Event, Watch
from fedvox.server.presence import Fixed, Presence

RELEASE = {"fedvox": __version__}
"""In the settings of every request: a site of another release says so instead of working."""


@dataclass(frozen=True)
class Met:
    """The sites that can take part, by name."""

    presence: Presence
    facts: dict[str, Reply]
    refused: Mapping[str, str]


def meet_nodes(grid: Grid, study: Study) -> Met:
    """Asks every node who it is: sites of a simulation, which name themselves."""
    by_label = {str(node): node for node in grid.get_node_ids()}
    nodes: dict[str, int] = {}
    facts: dict[str, Reply] = {}

    def accept(label: str, reply: Reply) -> None:
        _require_contract(study, reply)
        if not reply.site or reply.site in nodes:
            raise Rejected(Code.SITE, "a site without a name, or a name that is taken")
        nodes[reply.site] = by_label[label]
        facts[reply.site] = reply

    patience = Patience(need=len(by_label))
    answers = ask(grid, Fixed(by_label), by_label, _describe(study), patience, Ear(accept))
    _require_enough(study, facts, len(by_label), answers)
    ordered = {site: nodes[site] for site in sorted(nodes)}
    return Met(Fixed(ordered), {site: facts[site] for site in ordered}, answers.refused)


def meet_sites(
    grid: Grid, presence: Presence, sites: Collection[str], study: Study, watch: Watch
) -> Met:
    """Asks the sites of a consortium, each known by the name its certificate gave it."""
    patience = patience_for(study.participation, len(sites))
    facts, answers = _asked(grid, presence, sites, study, patience, watch)
    _require_enough(study, facts, len(sites), answers)
    return Met(presence, {site: facts[site] for site in sorted(facts)}, answers.refused)


def meet_newcomers(
    grid: Grid, presence: Presence, sites: Collection[str], study: Study, watch: Watch
) -> dict[str, Reply]:
    """The same of those that are there now, without waiting for long."""
    here = sorted(set(sites) & presence.seats().keys())
    if not here:
        return {}
    return _asked(grid, presence, here, study, Patience(need=0, deadline_s=3.0), watch)[0]


def _asked(
    grid: Grid,
    presence: Presence,
    sites: Collection[str],
    study: Study,
    patience: Patience,
    watch: Watch,
) -> tuple[dict[str, Reply], Answers]:
    facts: dict[str, Reply] = {}

    def accept(site: str, reply: Reply) -> None:
        _require_contract(study, reply)
        if reply.site != site:
            raise Rejected(Code.SITE, "answers under another site's name")
        facts[site] = reply

    def awaited(sites: dict[str, str]) -> None:
        watch(Event("awaited", 0, detail={"sites": sites}))

    answers = ask(grid, presence, sites, _describe(study), patience, Ear(accept, awaited=awaited))
    return facts, answers


def _describe(study: Study) -> Request:
    return Request("describe", dump_study(study), settings=RELEASE)


def _require_contract(study: Study, reply: Reply) -> None:
    if reply.facts.get("contract") != contract_hash(study):
        raise Rejected(Code.CONTRACT, "data prepared under another contract")


def _require_enough(study: Study, facts: Mapping[str, Reply], asked: int, answers: Answers) -> None:
    able = sum(reply.examples > 0 for reply in facts.values())
    if able < study.participation.min_sites:
        reasons = ", ".join(f"node {node}: {code}" for node, code in answers.refused.items())
        raise QuorumError(
            f"{able} of {asked} sites can train, the study demands "
            f"{study.participation.min_sites} (participation.min_sites). Without training "
            f"patients: {len(facts) - able}. Refused: {reasons or 'none'}"
        )
