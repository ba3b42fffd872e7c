"""Whether a study may run here now: the signed policy and the decisions of people at the site."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fedvox.client.policy.approvals import Approvals
from fedvox.client.policy.check import Verdict, admits, broken, check
from fedvox.client.policy.load import PolicyError
from fedvox.client.policy.parameters import count_parameters
from fedvox.client.policy.rules import Policy
from fedvox.client.policy.signature import policy_of
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.study import Study

_LATER = frozenset({Refusal.HOURS})
"""Refusals that pass by themselves: told after those that somebody must do something about."""
_BYTES_A_NUMBER = 4
_HEADER_BYTES = 1 << 20


class Permission:
    """Asked on every request, before an image is opened. For any number of threads."""

    def __init__(
        self,
        home: Path,
        approvals: Approvals,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._home = home
        self._approvals = approvals
        self._clock = clock

    def require(self, study: Study) -> Policy:
        """The policy under which the study may run; SiteError where it may not.

        What depends on the patients is not asked here: nothing of them was looked at yet.
        """
        policy = self.policy()
        record = self._approvals.seen(study, admits(study, policy))
        verdicts = check(study, policy, None, self._clock())
        now = [verdict for verdict in verdicts if verdict.refusal not in _LATER]
        if not broken(now):  # a network is counted only where the rest would do
            now += check_parameters(study, policy)
        _require(now)
        if record.refusal is not None:
            raise SiteError(record.refusal, f"study {record.name} is {record.state} here")
        _require(verdicts)
        return policy

    def require_patients(self, study: Study, policy: Policy, patients: int) -> None:
        """SiteError where so many patients are too few, or would be protected too little."""
        if patients:  # a site without any says so in another way
            verdicts = check(study, policy, patients, self._clock())
            _require([verdict for verdict in verdicts if verdict.refusal not in _LATER])

    def policy(self) -> Policy:
        """The site's policy; SiteError where it is not one that anything may run under."""
        try:
            return policy_of(self._home)
        except PolicyError as error:
            raise SiteError(Refusal.POLICY, str(error)) from None


def most_group_bytes(policy: Policy) -> int:
    """Bytes of the largest group of tensors that is received."""
    return policy.task.most_parameters * _BYTES_A_NUMBER + _HEADER_BYTES


def check_parameters(study: Study, policy: Policy) -> list[Verdict]:
    """The verdict on the size of the study's network."""
    count = count_parameters(study)
    verdicts = check(study, policy, None, datetime.now(), count)
    return [verdict for verdict in verdicts if verdict.rule == "task.most_parameters"]


def _require(verdicts: list[Verdict]) -> None:
    found = broken(verdicts)
    if found is not None:
        raise SiteError(found.refusal, f"{found.rule}: {found.reason}")
