"""What a run spent of its patients' privacy, from the lines of its rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedvox.common.study import Study

_LAST = ("epsilon", "delta", "noise_multiplier", "sample_rate", "clip_norm")


def spent_by_site(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Site -> what its patients' steps were and what they have cost; empty without privacy."""
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        for site, figures in line["sites"].items():
            if "epsilon" in figures:
                before = found.get(site, {"steps": 0})
                found[site] = {name: figures[name] for name in _LAST}
                found[site]["steps"] = before["steps"] + int(figures["steps"])
    return found


def privacy_of(study: Study, lines: Sequence[Mapping[str, Any]], doubt: str = "") -> dict[str, Any]:
    """The summary's privacy: the largest of what any site's patients have spent.

    `doubt` says why there is no guarantee; without one there is.
    """
    if study.privacy.mode == "none":
        return {"mode": "none"}
    sites = spent_by_site(lines)
    by_round, so_far = [], 0.0
    for line in lines:
        told = [site["epsilon"] for site in line["sites"].values() if "epsilon" in site]
        so_far = max([so_far, *told])
        by_round.append(so_far)
    return {
        "mode": study.privacy.mode,
        "unit": "patient",
        "placement": study.privacy.placement,
        "epsilon": max((site["epsilon"] for site in sites.values()), default=0.0),
        "delta": max((site["delta"] for site in sites.values()), default=0.0),
        "epsilon_by_round": by_round,
        "guarantee": not doubt,
        "why": doubt,
    }
