"""What a site is asked to do, what that would cost, and what the site allows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fedvox.common.errors import InputError, Refusal, SiteError
from fedvox.common.privacy.charge import Charge

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class WorkId:
    """Which work: the same again is the same work, and is charged once."""

    study_sha256: str
    round: int
    weights_sha256: str
    """Of the weights that came in."""
    purpose: str = "train"
    """What the same round and weights are asked for; each purpose is charged by itself."""


@dataclass(frozen=True)
class Work:
    """Private work on the patients; SiteError where a figure makes no sense."""

    id: WorkId
    study: str
    """Name of the study: whatever is spent under one name counts together."""
    charge: Charge
    """The noise is that which protects the site, whoever adds it."""
    clip_norm: float
    delta: float
    honest_sites: int = 1
    """Sites assumed to add their share of the noise; 1: the site adds all of it itself."""

    @property
    def terms(self) -> tuple[object, ...]:
        """What must be the same for one charge to cover another attempt."""
        return (self.study, self.charge, self.clip_norm, self.delta, self.honest_sites)

    def __post_init__(self) -> None:
        if reason := _senseless(self):
            raise SiteError(Refusal.STUDY, f"{self.study!r}, round {self.id.round}: {reason}")


def _senseless(work: Work) -> str:
    from fedvox.common.privacy.account import costs_nothing, require_charge, require_delta

    if not (is_sha256(work.id.study_sha256) and is_sha256(work.id.weights_sha256)):
        return "the study's and the weights' hashes must be sha256 in hexadecimal"
    try:
        require_charge(work.charge)
        require_delta(work.delta)
    except InputError as error:
        return str(error)
    if costs_nothing(work.charge) or work.id.round < 0 or work.honest_sites < 1:
        return "no patient is drawn, no step is taken, no site adds noise, or the round is below 0"
    return "" if 0 < work.clip_norm < math.inf else f"a clipping norm of {work.clip_norm:g}"


def is_sha256(text: str) -> bool:
    """Whether the text is a sha256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True)
class Caps:
    """What a site allows to be spent of its patients' privacy, whoever asks."""

    study_epsilon: float
    """Largest epsilon of one study, at the delta it asks for."""
    life_epsilon: float
    """Largest epsilon of everything ever done with the data, at `delta`."""
    delta: float
    """Of the life's epsilon; a study may not ask for a larger one."""
    least_noise: float = 0.0
    """Smallest noise multiplier the site works with; work without noise is refused anyway."""

    def __post_init__(self) -> None:
        positive = self.study_epsilon > 0 and self.life_epsilon > 0  # false for NaN as well
        if not (positive and 0 < self.delta < 1 and 0 <= self.least_noise < math.inf):
            raise InputError(
                f"{self}: the site's policy needs epsilons above 0, a delta between 0 and 1 and a "
                "least noise of at least 0; correct it"
            )


@dataclass(frozen=True)
class Reservation:
    """Work that is paid for and may be begun."""

    work: Work
    sequence: int
    """The ledger's row that charged it."""
    study_epsilon: float
    """Spent by the study, this work included."""
    life_epsilon: float
    resumed: bool = False
    """Charged before, by an attempt of which nothing was ever sent."""


@dataclass(frozen=True)
class Released:
    """Work that was done before: what was sent then is what may be sent now."""

    id: WorkId
    sequence: int
    """The ledger's row that released it."""
    payload_sha256: str
