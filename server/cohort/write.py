"""The proposal as a study file that people read, change and propose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from fedvox.common.study import Study, load_study
from fedvox.common.study.load import toml_value
from fedvox.common.study.template import commented
from fedvox.server.cohort.pool import Pool
from fedvox.server.cohort.propose import Proposal

AT_SITES = "sites"
"""data.source of a study whose images only the sites know."""


def study_text(pool: Pool, proposal: Proposal, name: str, where: Mapping[str, Any]) -> str:
    """A study file with a comment for every key, and the reasons for those that are set.

    `where` has the keys that say whose images they are; StudyError where the proposal is no study.
    """
    settings = {"study.name": name, **proposal.settings, **where}
    study = _study(settings)
    lines = [f"Proposed by fedvox study plan from what {len(pool.summaries)} sites told of their"]
    lines[0] += " patients."
    lines += [f"{key}: {why}" for key, why in proposal.reasons.items()]
    lines += [f"TO SETTLE: {conflict}" for conflict in proposal.labels.conflicts]
    head = [f"# {part}" for line in lines for part in wrap(line, 96)]
    return "\n".join([*head, "#", commented(study, settings)])


def _study(settings: Mapping[str, Any]) -> Study:
    return load_study(settings=[f"{key}={_toml(value)}" for key, value in settings.items()])


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else toml_value(value)
