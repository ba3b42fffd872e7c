"""What an operator is shown of studies and sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fedvox.common.study import Study
from fedvox.server.asking import patience_for
from fedvox.server.coordinator.studies import Record, State

Nodes = Mapping[str, tuple[bool, str]]
"""Site -> whether it is connected, and when it was last seen."""


def study_status(
    record: Record, study: Study, progress: Mapping[str, Any], nodes: Nodes
) -> dict[str, Any]:
    """The state of a study, as `fedvox study status --json` prints it."""
    told = progress.get("sites", {})
    names = (*record.sites, *record.excluded) or sorted(told)
    sites = [_site(name, told.get(name, {}), record, nodes) for name in names]
    asked = max(1, len(record.sites))
    said = progress.get("note", "") if record.state is not State.QUEUED else ""
    return {
        "name": record.name,
        "study_sha256": record.study_sha256,
        "state": str(record.state),
        "phase": progress.get("phase", "") if record.state is State.RUNNING else "",
        "round": progress.get("round", 0),
        "rounds": study.training.rounds,
        "sites": sites,
        "quorum": progress.get("quorum", patience_for(study.participation, asked).need),
        "metrics": progress.get("metrics", {}),
        "model_sha256": progress.get("model_sha256"),
        "note": "; ".join(dict.fromkeys(filter(None, (record.problem, said)))),
        "by": record.by,
        "proposed_at": record.proposed_at,
    }


def _site(name: str, told: Mapping[str, Any], record: Record, nodes: Nodes) -> dict[str, Any]:
    online, seen = nodes.get(name, (False, ""))
    return {
        "name": name,
        "online": online,
        "state": _state(name, told, record, online),
        "last_seen": seen or None,
        "epsilon_spent": told.get("epsilon", 0.0),
    }


def _state(name: str, told: Mapping[str, Any], record: Record, online: bool) -> str:
    if name in record.excluded:
        return "revoked"
    if not online:
        return "away"
    return str(told.get("state", "expected")) if record.state is State.RUNNING else "connected"


def listed(record: Record, progress: Mapping[str, Any]) -> dict[str, Any]:
    """A study in a list."""
    return {
        **{k: v for k, v in asdict(record).items() if k not in ("sites", "excluded")},
        "round": progress.get("round", 0),
        "rounds": progress.get("rounds", 0),
    }
