"""Whether a policy allows a study: every rule, its verdict and the reason. Opens nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from fedvox.client.policy.hours import within
from fedvox.client.policy.rules import Policy
from fedvox.common.errors import FedvoxError, Refusal
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.charge import Charge
from fedvox.common.study import Study, study_hash


@dataclass(frozen=True)
class Verdict:
    """What one rule says of a study."""

    rule: str
    """Table and key of policy.toml."""
    passed: bool
    reason: str
    refusal: Refusal = Refusal.POLICY
    """What a site says outside where the rule is broken."""


def check(
    study: Study,
    policy: Policy,
    patients: int | None,
    now: datetime,
    parameters: int | None = None,
) -> list[Verdict]:
    """All verdicts; rules about what is not known yet (None) are left out."""
    return [
        *_task(study, policy, parameters),
        *_training(study, policy),
        *_participation(study, policy, patients),
        *_privacy(study, policy, patients),
        *_when(policy, now),
        _threads(study, policy),
    ]


def not_judged(study: Study, patients: int | None, parameters: int | None) -> tuple[str, ...]:
    """The rules that `check` leaves out for want of a number, and what would supply it."""
    found = [] if parameters is not None else ["task.most_parameters: the study has no classes yet"]
    if patients is None:
        found.append("participation.least_patients: give --patients N")
    if study.privacy.mode == "patient":
        if not patients:
            found.append("privacy: noise, epsilon and delta follow from --patients N")
        found.append(
            "privacy.most_epsilon_life: the ledger decides; see `fedvox site check STUDY.toml`"
        )
    return tuple(found)


def broken(verdicts: list[Verdict]) -> Verdict | None:
    """The first rule that forbids the study."""
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def admits(study: Study, policy: Policy) -> bool:
    """Whether the study runs without a person's approval."""
    return bool({study.study.name, study_hash(study)} & set(policy.studies.admit))


def _task(study: Study, policy: Policy, parameters: int | None) -> Iterator[Verdict]:
    rules, kind, model = policy.task, study.task.kind, study.model.name
    yield Verdict("task.kinds", kind in rules.kinds, f"{kind}; allowed: {_listed(rules.kinds)}")
    allowed = not rules.models or model in rules.models
    yield Verdict("task.models", allowed, f"{model}; allowed: {_listed(rules.models)}")
    if parameters is not None:
        yield _most("task.most_parameters", parameters, rules.most_parameters, "parameters")
    voxels = math.prod(study.data.patch)
    yield _most("task.most_patch_voxels", voxels, rules.most_patch_voxels, "voxels in a patch")


def _training(study: Study, policy: Policy) -> Iterator[Verdict]:
    rules, wanted = policy.training, study.training
    yield _most("training.most_rounds", wanted.rounds, rules.most_rounds, "rounds")
    steps = wanted.local_steps
    yield _most("training.most_local_steps", steps, rules.most_local_steps, "steps in a round")
    yield Verdict(
        "training.least_lr",
        wanted.lr >= rules.least_lr,
        f"learning rate {wanted.lr:g}; at least {rules.least_lr:g}",
    )
    yield _most("training.most_lr", wanted.lr, rules.most_lr, "learning rate")


def _participation(study: Study, policy: Policy, patients: int | None) -> Iterator[Verdict]:
    rules = policy.participation
    if patients is not None:
        yield _least("participation.least_patients", patients, rules.least_patients, "patients")
    sites = study.participation.min_sites
    yield _least("participation.least_sites", sites, rules.least_sites, "sites in a sum")


def _privacy(study: Study, policy: Policy, patients: int | None) -> Iterator[Verdict]:
    rules, mode = policy.privacy, study.privacy.mode
    required = rules.required == "none" or mode == "patient"
    reason = f"privacy.mode is {mode!r}; required: {rules.required!r}"
    yield Verdict("privacy.required", required, reason, Refusal.PRIVACY)
    if mode == "patient" and patients:
        yield from _spending(study, policy, bucketed(patients))


def _spending(study: Study, policy: Policy, patients: int) -> Iterator[Verdict]:
    from fedvox.common.privacy.terms import delta_below, terms_for

    rules = policy.privacy
    try:
        terms = terms_for(study, patients)
        epsilon = _epsilon(terms.charge_of(terms.rounds), terms.delta)
    except FedvoxError as error:
        yield Verdict("privacy.most_epsilon", False, str(error), Refusal.PRIVACY)
        return
    noise, delta = terms.noise_multiplier, rules.largest_delta or delta_below(patients)
    yield Verdict(
        "privacy.least_noise",
        noise >= rules.least_noise,
        f"noise multiplier {noise:.4g}; at least {rules.least_noise:g}",
        Refusal.PRIVACY,
    )
    yield Verdict(
        "privacy.most_epsilon",
        # The noise was found to reach the study's own epsilon but for a last digit.
        epsilon <= rules.most_epsilon * (1 + 1e-6),
        f"epsilon {epsilon:.4g} in all rounds; at most {rules.most_epsilon:g}",
        Refusal.PRIVACY,
    )
    yield Verdict(
        "privacy.largest_delta",
        terms.delta <= delta,
        f"delta {terms.delta:g}; at most {delta:g}",
        Refusal.PRIVACY,
    )


@lru_cache(maxsize=64)
def _epsilon(charge: Charge, delta: float) -> float:
    from fedvox.common.privacy.account import Account

    return Account([charge]).epsilon(delta)


def _when(policy: Policy, now: datetime) -> Iterator[Verdict]:
    rules = policy.when
    open_now = within(now, rules.hours, rules.days)
    reason = f"it is {now:%a %H:%M}; open: {', '.join(rules.hours) or 'always'}"
    if len(rules.days) < 7:
        reason += f" on {_listed(rules.days)}"
    yield Verdict("when.hours", open_now, reason, Refusal.HOURS)


def _threads(study: Study, policy: Policy) -> Verdict:
    limit = policy.resources.most_threads or (os.cpu_count() or 1)
    return _most("resources.most_threads", study.simulation.threads, limit, "threads")


def _most(rule: str, value: float, limit: float, what: str) -> Verdict:
    return Verdict(rule, value <= limit, f"{_number(value)} {what}; at most {_number(limit)}")


def _least(rule: str, value: float, limit: float, what: str) -> Verdict:
    return Verdict(rule, value >= limit, f"{_number(value)} {what}; at least {_number(limit)}")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "any"
