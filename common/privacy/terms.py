"""A study's privacy section put into figures for one site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fedvox.common.errors import InputError, StudyError
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.noise import noise_for
from fedvox.common.privacy.placement import PlacedNoise, place_distributed
from fedvox.common.study import Study


@dataclass(frozen=True)
class Terms:
    """What the study's steps are at a site, and what they cost its patients."""

    sample_rate: float
    """Chance of each patient to be drawn in a step."""
    noise_multiplier: float
    """Noise that the site's patients are protected by and charged for, in units of clip_norm."""
    steps_per_round: int
    rounds: int
    clip_norm: float
    delta: float
    honest_sites: int = 1
    """Sites assumed to share the noise; 1: this site adds all of it."""

    @property
    def placed(self) -> PlacedNoise:
        """What the site adds itself, and what it is charged for."""
        return place_distributed(self.noise_multiplier, self.honest_sites)

    def charge_of_round(self) -> Charge:
        """What one round costs."""
        return self.charge_of(1)

    def charge_of(self, rounds: int) -> Charge:
        """What so many rounds cost."""
        return Charge(self.sample_rate, self.noise_multiplier, rounds * self.steps_per_round)


def terms_for(study: Study, patients: int) -> Terms:
    """The study's terms at a site with so many training patients.

    Counts on being asked in every round. Whether the study protects patients at all is
    `privacy.mode`, which is not asked here.
    """
    privacy, training = study.privacy, study.training
    if patients < 1:
        raise InputError(f"{patients} training patients: a site needs one at least")
    sample_rate = min(1.0, patients_per_step(study) / patients)
    delta = privacy.delta or delta_below(patients)
    noise = privacy.noise_multiplier or noise_needed(study, privacy.epsilon, delta, sample_rate)
    return Terms(
        sample_rate,
        noise,
        training.local_steps,
        training.rounds,
        privacy.clip_norm,
        delta,
        _honest_sites(study),
    )


def noise_needed(study: Study, epsilon: float, delta: float, sample_rate: float) -> float:
    """The noise multiplier that keeps a site to epsilon over all of the study.

    Sites that share the noise must all need the same, or one would rely on shares that are smaller
    than its own: as much as where every patient is drawn in every step.
    """
    steps = study.training.rounds * study.training.local_steps
    rate = 1.0 if _honest_sites(study) > 1 else sample_rate
    return found_noise(epsilon, delta, rate, steps)


def patients_per_step(study: Study) -> int:
    """Patients a site draws in a step on average, where it has so many."""
    return study.privacy.patients_per_step or study.training.batch_size


def divisor_for(study: Study, terms: Terms, patients: int) -> float:
    """What the noisy sum of a step is divided by, where the site has so many patients.

    The patients expected in it; but where sites share the noise, one number for all of them: else
    a small site's patients would count for more than the shares of the others hide.
    """
    if terms.honest_sites > 1:
        return float(patients_per_step(study))
    return terms.sample_rate * patients


def delta_below(patients: int) -> float:
    """The largest power of ten that is less than one over the number of patients."""
    return float(f"1e-{len(str(patients))}")


def loose(delta: float, patients: int) -> str:
    """What is wrong with a delta for so many patients; empty: nothing.

    With a chance of delta everything about a patient may be told, of each patient anew.
    """
    if delta < 1 / patients:
        return ""
    return (
        f"delta {delta:g} is not below 1/{patients}: it would allow to tell everything about one "
        f"of the {patients} patients; leave it out, or give {delta_below(patients):g} or less"
    )


def _honest_sites(study: Study) -> int:
    """Sites assumed to share the noise; 1: each adds all of it."""
    if study.privacy.placement == "local":
        return 1
    honest = study.privacy.honest_sites or study.participation.min_sites
    return place_distributed(1.0, honest, study.training.local_steps).honest_sites


# Asked for in every round and at every site.
@lru_cache(maxsize=1024)
def found_noise(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """`noise_for` without a history, remembered."""
    if epsilon == 0:
        raise StudyError(
            "privacy.epsilon: is 0, and so is privacy.noise_multiplier; one of them must say how "
            "much noise there is, as in privacy.epsilon=8"
        )
    return noise_for(epsilon, delta, sample_rate, steps)
