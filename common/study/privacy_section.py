"""The table [privacy] of a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedvox.common.study.sections import Positive, Section


class PrivacySection(Section):
    mode: Literal["none", "patient"] = "none"
    """none: updates leave a site without noise; patient: no patient's presence can be inferred from
    what a site sends, beyond epsilon."""
    epsilon: float = Field(8.0, ge=0)
    """What the whole study may spend of every patient's privacy; the noise follows from it.
    0: noise_multiplier is given instead."""
    delta: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that epsilon does not hold; 0: the power of ten below one over a site's
    patients. Sites that share the noise need it, or noise_multiplier, given."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of one patient's gradient."""
    noise_multiplier: float = Field(0.0, ge=0)
    """Deviation of the noise on a step's sum, in units of clip_norm; 0: found from epsilon."""
    patients_per_step: int = Field(0, ge=0)
    """Patients drawn in a step on average, each with the same chance; 0: as many as batch_size."""
    augmentation_multiplicity: Positive = 1
    """Augmented views of a patient averaged in a step before its gradient is clipped."""
    adaptive_clip: bool = False
    """Moves clip_norm to the quantile below, by a count that is charged as well."""
    clip_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the patients whose gradients adaptive_clip leaves as they are."""
    placement: Literal["local", "distributed"] = "local"
    """local: each site adds all the noise itself; distributed: each adds its share, and only the
    sum of the sites may be seen. Shares are alike at all sites: as large as where every patient is
    drawn in every step, which patients_per_step should come close to."""
    honest_sites: int = Field(0, ge=0)
    """distributed: sites assumed to add their share; 0: participation.min_sites."""
    engine: Literal["auto", "shapes", "measured"] = "auto"
    """How patients' gradients are worked out; each way gives the same sums. shapes: as the layers'
    shapes prescribe, to the same bits; measured: the fastest in a trial; auto: measured on GPUs."""
