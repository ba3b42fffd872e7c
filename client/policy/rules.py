"""The tables of policy.toml as frozen models: what a site allows, and what it does without being
told. Every study is checked against all of it, whoever approved it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fedvox.client.policy.hours import parse_hours
from fedvox.common.study.sections import Positive, Section

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _hours(text: str) -> str:
    parse_hours(text)
    return text


class StudiesRules(Section):
    admit: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Studies that run without asking: full sha256 (that study and no other), or a name (whatever
    study bears it). All others wait for `fedvox site approve`."""


class TaskRules(Section):
    kinds: tuple[Literal["segmentation", "classification"], ...] = (
        "segmentation",
        "classification",
    )
    """Tasks that the site takes part in."""
    models: tuple[str, ...] = ()
    """Networks by name; empty: any of the release."""
    most_parameters: Positive = 200_000_000
    """Numbers in the network. Also bounds what is received: four bytes each."""
    most_patch_voxels: Positive = 16_777_216
    """Voxels that the network sees at once (256 x 256 x 256)."""


class TrainingRules(Section):
    most_rounds: Positive = 1000
    """Rounds of a study."""
    most_local_steps: Positive = 2000
    """Gradient steps of a round."""
    least_lr: float = Field(0.0, ge=0)
    """Smallest learning rate."""
    most_lr: float = Field(1.0, gt=0)
    """Largest learning rate."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_lr > self.most_lr:
            raise ValueError("least_lr: is above most_lr, so that no study could run")
        return self


class PrivacyRules(Section):
    required: Literal["none", "patient"] = "none"
    """patient: only studies whose updates hide every single patient. none: the person who approves
    a study decides."""
    least_noise: float = Field(0.0, ge=0)
    """Smallest noise multiplier of a study that protects patients."""
    most_epsilon: float = Field(8.0, gt=0)
    """Most that one study may spend of the patients' privacy."""
    most_epsilon_life: float = Field(16.0, gt=0)
    """Most that all studies together may ever spend of it. What leaves without noise is not
    measured by it."""
    largest_delta: float = Field(0.0, ge=0, lt=1)
    """Largest delta; 0: the power of ten below one over the site's patients."""
    figures: Literal["never", "without-privacy", "always"] = "without-privacy"
    """When losses and metrics may leave. They are exact: what is charged does not cover them, so
    that `always` gives away more than epsilon says."""


class ParticipationRules(Section):
    least_patients: Positive = 2
    """Patients to train on, below which the site takes no part."""
    least_sites: Positive = 2
    """Sites that must be in every sum (the study's participation.min_sites)."""


class StoreRules(Section):
    keep: tuple[Literal["age", "sex"], ...] = ()
    """What the site's datasets may hold of a patient beside the images, where an import asks for it
    with --keep: age in bands of ten years, sex."""


class CohortRules(Section):
    release: Literal["never", "counts", "histograms"] = "never"
    """What `fedvox site cohort` may write for the planning of studies: nothing; counts of patients
    by modality and label; also how spacing, size and intensity spread."""
    least_cell: int = Field(5, ge=3)
    """Patients that every count which leaves stands for, at least."""


class WhenRules(Section):
    hours: tuple[Annotated[str, AfterValidator(_hours)], ...] = ()
    """When work may begin, in the machine's local time, such as "20:00-06:00"; empty: always."""
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """Days on which those hours begin."""


class ResourcesRules(Section):
    gpu_share: float = Field(1.0, gt=0, le=1)
    """Share of the GPU's memory that the trainer may take."""
    most_threads: int = Field(0, ge=0)
    """Most processor threads that a study may ask for; 0: as many as there are cores."""


class Policy(Section):
    """A whole policy.toml; without one, these defaults: every study waits for a person."""

    studies: StudiesRules = StudiesRules()
    task: TaskRules = TaskRules()
    training: TrainingRules = TrainingRules()
    privacy: PrivacyRules = PrivacyRules()
    participation: ParticipationRules = ParticipationRules()
    store: StoreRules = StoreRules()
    cohort: CohortRules = CohortRules()
    when: WhenRules = WhenRules()
    resources: ResourcesRules = ResourcesRules()
