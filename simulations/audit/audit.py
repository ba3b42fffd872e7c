"""The audit of a run: who took part, whose image it was, and whether the steps were as charged."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.client.training.learner import threads
from fedvox.common.errors import InputError, nearest
from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.charge import Charge
from fedvox.common.study import Study
from fedvox.simulations.audit.attack import Attacked, Target, attack
from fedvox.simulations.audit.checks import Check
from fedvox.simulations.audit.draw_checks import check_draws
from fedvox.simulations.audit.guesses import Guessed, guess, log_ratios
from fedvox.simulations.audit.inversion import Inversion, invert
from fedvox.simulations.audit.noise_checks import check_noise
from fedvox.simulations.audit.sensitivity import check_sensitivity
from fedvox.simulations.audit.single import check_update, take_single_step
from fedvox.simulations.audit.watching import WatchedLearner
from fedvox.simulations.consortium import gather
from fedvox.simulations.directory import log_in, study_of
from fedvox.simulations.engines import workers_for
from fedvox.simulations.resolve import resolve_study

_DELTA_SHARE = 0.01
"""The audit's delta times its canaries: a larger one would let chance explain the right guesses."""


@dataclass(frozen=True)
class Wish:
    """How the audit is to be made."""

    run: Path
    site: str = ""
    """Empty: the one with the fewest training patients."""
    canaries: int | None = None
    """None: as many as the model allows, up to 1,000."""
    steps: int = 30
    iterations: int = 100
    """Of the gradient inversion; 0 leaves it out."""
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class Membership:
    """What the guesses refute, and what was charged."""

    guessed: Guessed
    epsilon_charged: float
    delta: float
    confidence: float

    @property
    def found(self) -> bool:
        """Whether the steps cost more than was charged."""
        return self.guessed.epsilon > self.epsilon_charged

    def as_check(self) -> Check:
        """As one of the audit's questions."""
        one = self.guessed
        return Check(
            "membership",
            f"epsilon > {one.epsilon:.2f}: {one.right} of {one.guesses} guesses right",
            f"at most {self.epsilon_charged:.2f}",
            self.found,
            "who took part can be told better than what was charged allows",
        )

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "epsilon_charged": self.epsilon_charged,
            "epsilon_lower_bound": self.guessed.epsilon,
            "delta": self.delta,
            "confidence": self.confidence,
            "epsilon_largest_bound": self.guessed.most,
            "canaries": self.guessed.canaries,
            "guesses": self.guessed.guesses,
            "right": self.guessed.right,
        }


@dataclass(frozen=True)
class Audit:
    """What was attacked and what came of it."""

    wish: Wish
    target: Target
    attacked: Attacked
    membership: Membership
    checks: tuple[Check, ...]
    """All questions, membership and inversion among them."""
    inversion: Inversion | None

    @property
    def found(self) -> tuple[Check, ...]:
        """The questions whose answer is not what was charged."""
        return tuple(check for check in self.checks if check.found)

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        terms, attacked = self.attacked.terms, self.attacked
        return {
            "verdict": "violation" if self.found else "nothing found",
            "found": [check.name for check in self.found],
            "site": self.target.site,
            "seed": self.wish.seed,
            "study": {
                "epsilon": study_epsilon(self.target),
                "delta": self.target.terms.delta,
                "steps": self.target.terms.steps_per_round * self.target.terms.rounds,
            },
            "attacked": {
                "patients": len(self.target.people),
                "canaries": len(attacked.canaries.took_part),
                "canaries_that_took_part": int(attacked.canaries.took_part.sum()),
                "rounds": attacked.rounds,
                "steps": len(attacked.steps),
                "sample_rate": terms.sample_rate,
                "noise_multiplier": terms.noise_multiplier,
                "clip_norm": terms.clip_norm,
                "refused": attacked.refused,
            },
            "membership": self.membership.as_record(),
            "checks": [check.as_record() for check in self.checks],
            "inversion": self.inversion.as_record() if self.inversion else None,
        }


def audit_run(wish: Wish) -> Audit:
    """Attacks the site of a run; InputError where the run protects nobody."""
    study, source = resolve_study(study_of(wish.run), ())
    _require_private(study, wish)
    with log_in(wish.run), threads(study.simulation.threads):
        consortium = gather(study, source, workers_for(study))
        people = {
            name: roster.people["train"]
            for name, roster in consortium.rosters.items()
            if roster.people.get("train")
        }
        name = wish.site or min(people, key=lambda site: (len(people[site]), site))
        if name not in people:
            raise InputError(f"--site {name}: is no site of the run; {nearest(name, people)}")
        return audit_site(Target(study, name, people[name], consortium.store), wish)


def audit_site(target: Target, wish: Wish) -> Audit:
    """Attacks one site."""
    with tempfile.TemporaryDirectory(prefix="fedvox-audit-") as folder:
        home = Path(folder)
        attacked = attack(target, wish.canaries, wish.steps, wish.seed, home / "canaries")
        step = take_single_step(target, wish.seed, home / "single")
    membership = _membership(attacked, wish)
    checks = [membership.as_check()]
    checks += check_noise(
        attacked.steps, attacked.clip_norms(), attacked.sizes, attacked.gradient_noise
    )
    checks += check_draws(attacked.drawn(), attacked.terms.sample_rate)
    checks += [check_sensitivity(target, WatchedLearner(target.study), wish.seed)]
    checks += [*_clipping(attacked), _count(attacked), _own_check(attacked)]
    inversion = None
    if step is not None:
        if update := check_update(step):
            checks.append(update)
        if wish.iterations:
            inversion = invert(step, target, wish.iterations, wish.seed)
            checks.append(inversion.as_check())
    return Audit(wish, target, attacked, membership, tuple(checks), inversion)


def study_epsilon(target: Target) -> float:
    """What the whole study costs the site's patients."""
    terms = target.terms
    return epsilon([terms.charge_of(terms.rounds)], terms.delta)


def _membership(attacked: Attacked, wish: Wish) -> Membership:
    terms, canaries = attacked.terms, attacked.canaries
    delta = min(terms.delta, _DELTA_SHARE / len(canaries.took_part))
    charge = Charge(terms.sample_rate, terms.noise_multiplier, len(attacked.steps))
    seen, noise = attacked.shown(wish.seed)
    ratios = log_ratios(seen, terms.sample_rate, noise)
    guessed = guess(ratios, canaries.took_part, delta, wish.confidence)
    return Membership(guessed, epsilon([charge], delta), delta, wish.confidence)


def _clipping(attacked: Attacked) -> list[Check]:
    """The norm that patients were clipped to, which adaptive clipping moves as it likes."""
    known = {step.clip_norm for step in attacked.steps} - {None}
    if attacked.adaptive or not known:
        return []
    due = attacked.terms.clip_norm
    largest = max(norm for norm in known if norm is not None)
    return [
        Check(
            "clipping norm",
            f"{largest:g}",
            f"{due:g}",
            largest != due,
            "patients are clipped to another norm than the noise is measured by",
        )
    ]


def _count(attacked: Attacked) -> Check:
    due = len(attacked.replies) * attacked.terms.steps_per_round
    return Check(
        "steps taken",
        str(len(attacked.steps)),
        str(due),
        len(attacked.steps) != due,
        "other steps were taken than were charged",
    )


def _own_check(attacked: Attacked) -> Check:
    return Check(
        "the site's own check",
        "held back" if attacked.refused else "released",
        "released",
        attacked.refused,
        "the steps are not what was charged, but the site noticed and sent nothing",
    )


def _require_private(study: Study, wish: Wish) -> None:
    if study.simulation.folds and study.simulation.fold < 0:
        raise InputError(f"{wish.run}: holds several folds; name one, as in {wish.run}/fold-0")
    if study.privacy.mode != "patient":
        raise InputError(
            f"{wish.run}: this run protects nobody: its updates were sent without noise, and there "
            "is no promise to audit; simulate with --epsilon 8"
        )
    if wish.steps < 1 or wish.iterations < 0 or wish.seed < 0 or not 0 < wish.confidence < 1:
        raise InputError(
            "--steps must be 1 or more, --iterations and --seed 0 or more, --confidence between 0 "
            "and 1"
        )
