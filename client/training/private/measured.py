"""What private steps were seen to do, held against what was charged before they were taken."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fedvox.common.errors import Refusal, SiteError
from fedvox.common.privacy.terms import Terms

_ROUNDING = 1e-3
"""Share by which a sum in single precision may exceed its limit."""
_DEVIATIONS = 7.0
"""Standard deviations that chance is allowed: once in 10^11 rounds it would be wrong."""


@dataclass(frozen=True)
class Step:
    """One step as it was."""

    drawn: int
    clean_norm: float
    """Of the sum of the clipped gradients."""
    noise_norm: float
    """Of what the noise changed in it."""
    numbers: int
    clip_norm: float


@dataclass
class Measured:
    """The steps of a round."""

    steps: list[Step] = field(default_factory=list)

    def step(
        self, drawn: int, clean_norm: float, noise_norm: float, numbers: int, clip_norm: float
    ) -> None:
        """Notes a step."""
        self.steps.append(Step(drawn, clean_norm, noise_norm, numbers, clip_norm))

    def require(self, terms: Terms, patients: int, noise_multiplier: float) -> None:
        """SiteError(UNSAFE) unless the steps are those that were charged."""
        if problem := self._problem(terms, patients, noise_multiplier):
            raise SiteError(Refusal.UNSAFE, problem)

    def _problem(self, terms: Terms, patients: int, noise_multiplier: float) -> str:
        if len(self.steps) != terms.steps_per_round:
            return f"{len(self.steps)} steps were taken, {terms.steps_per_round} were charged"
        for number, step in enumerate(self.steps):
            limit = step.drawn * step.clip_norm * (1 + _ROUNDING) + 1e-12
            if not step.clean_norm <= limit:
                return f"step {number}: the sum's norm is {step.clean_norm:g}, allowed {limit:g}"
            wanted = noise_multiplier * step.clip_norm * math.sqrt(step.numbers)
            # The norm of n normal numbers is sqrt(n) within 1 / sqrt(2).
            slack = noise_multiplier * step.clip_norm * _DEVIATIONS / math.sqrt(2)
            if not abs(step.noise_norm - wanted) <= slack + _ROUNDING * wanted:
                return f"step {number}: noise of norm {step.noise_norm:g} where {wanted:g} was due"
        return self._draws(terms, patients)

    def _draws(self, terms: Terms, patients: int) -> str:
        chances = len(self.steps) * patients
        drawn, wanted = sum(step.drawn for step in self.steps), chances * terms.sample_rate
        slack = _DEVIATIONS * math.sqrt(wanted * (1 - terms.sample_rate)) + _DEVIATIONS
        if abs(drawn - wanted) > slack:
            return f"{drawn} patients were drawn where {wanted:.1f} were due"
        return ""
