"""Finding out which site is behind which node, before the first round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from fedvox.common.errors import QuorumError
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study, contract_hash, dump_study
from fedvox.server.admit import Code, Rejected
from fedvox.server.asking import Patience, ask


@dataclass(frozen=True)
class Met:
    """The sites that can take part, by name."""

    nodes: Mapping[str, int]
    facts: Mapping[str, Reply]
    refused: Mapping[str, str]


def meet(grid: Grid, study: Study) -> Met:
    """Asks every node who it is; QuorumError when fewer can take part than the study demands."""
    request = Request("describe", dump_study(study))
    contract = contract_hash(study)
    nodes: dict[str, int] = {}
    facts: dict[str, Reply] = {}
    by_label = {str(node): node for node in grid.get_node_ids()}

    def accept(label: str, reply: Reply) -> None:
        if reply.facts.get("contract") != contract:
            raise Rejected(Code.CONTRACT, "data prepared under another contract")
        if not reply.site or reply.site in nodes:
            raise Rejected(Code.SITE, "a site without a name, or a name that is taken")
        nodes[reply.site] = by_label[label]
        facts[reply.site] = reply

    answers = ask(grid, by_label, request, Patience(need=len(by_label)), accept)
    able = sum(reply.examples > 0 for reply in facts.values())
    if able < study.participation.min_sites:
        reasons = ", ".join(f"node {node}: {code}" for node, code in answers.refused.items())
        raise QuorumError(
            f"{able} of {len(by_label)} sites can train, the study demands "
            f"{study.participation.min_sites} (participation.min_sites). Without training "
            f"patients: {len(facts) - able}. Refused: {reasons or 'none'}"
        )
    ordered = {site: nodes[site] for site in sorted(nodes)}
    return Met(ordered, {site: facts[site] for site in ordered}, answers.refused)
