"""The site that answers for a study: its cases, its state, and what stands before its release."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.policy.rules import Policy
from fedvox.client.site import Roster, Site
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.trainer.data import Holdings
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.messages import Kind
from fedvox.common.study import Study, study_hash

if TYPE_CHECKING:
    from fedvox.client.guard import Guard


def site_of(
    name: str,
    home: Path,
    holdings: Holdings,
    study: Study,
    policy: Policy,
    over: Callable[[Store], Store] = lambda store: store,
) -> Site:
    """The site for one request; `over` may put something between it and its cases."""
    roster, contract = holdings.roster(study), holdings.contract(study)
    guard = None
    if study.privacy.mode != "none":
        guard = site_guard(home, holdings, study, policy, roster)
    return Site(
        name,
        roster,
        over(holdings.store(contract)),
        SiteState(home / "state", study_hash(study)),
        contract,
        guard,
        holdings.seed_name(study),
    )


def figures_allowed(policy: Policy, study: Study, kind: Kind) -> None:
    """SiteError where the answer would be nothing but figures, and the policy lets none leave."""
    if kind == "evaluate" and policy.privacy.figures == "never":
        raise SiteError(Refusal.POLICY, f"privacy.figures: {study.study.name} asks for metrics")


def site_guard(
    home: Path, holdings: Holdings, study: Study, policy: Policy, roster: Roster
) -> Guard:
    """The site's ledger and outbox, with noise that nobody can draw again."""
    from fedvox.client.guard import Guard
    from fedvox.client.ledger.versions import open_ledger
    from fedvox.client.ledger.work import Caps
    from fedvox.client.outbox import Outbox
    from fedvox.client.training.private.noise import system_noise
    from fedvox.common.privacy.bucket import bucketed
    from fedvox.common.privacy.terms import delta_below

    rules = policy.privacy
    patients = max(1, bucketed(roster.patients.get("train", 0)))
    delta = rules.largest_delta or delta_below(patients)
    caps = Caps(rules.most_epsilon, rules.most_epsilon_life, delta, rules.least_noise)
    return Guard(
        partial(open_ledger, home, holdings.dataset, holdings.version(study), caps),
        Outbox(home / "outbox"),
        system_noise,
        shows_figures=rules.figures == "always",
    )
