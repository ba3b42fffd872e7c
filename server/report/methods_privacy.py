"""What the Methods paragraph says of privacy."""

from __future__ import annotations

import math

from fedvox.server.report.privacy import honest_sites, is_guaranteed, is_private, seen, spent
from fedvox.server.report.records import Run
from fedvox.server.report.wording import epsilon_spent, many, span


def protection(run: Run) -> str:
    """How patients were to be protected, or that they were not."""
    if not is_private(run):
        return "No differential privacy was applied."
    settings = run.study.privacy
    views = settings.augmentation_multiplicity
    averaged = f" in {many(views, 'augmented view')} each" if views > 1 else ""
    norm = f"norm {span(seen(run, 'clip_norm') or [settings.clip_norm])}"
    moved = f", moved to the {100 * settings.clip_quantile:g} % quantile of the patients' norms"
    clip = f"{norm}{moved}" if settings.adaptive_clip else norm
    return (
        "Training followed DP-SGD with the patient as the unit: in every step a site drew "
        "each of its training patients independently with probability "
        f"{span(seen(run, 'sample_rate'))} (Poisson sampling), averaged the gradients of a "
        f"patient's scans{averaged}, clipped the average to {clip}, and added Gaussian noise with "
        f"noise multiplier {span(seen(run, 'noise_multiplier'))} to the sum"
        f"{_shared(run)}. {_accounted(run)}"
    )


def _shared(run: Run) -> str:
    honest = honest_sites(run)
    return f", of which each site added its share, {honest} of them assumed honest" * (honest > 1)


def _accounted(run: Run) -> str:
    most = spent(run)
    if not math.isfinite(most.epsilon):
        return "What this cost is not known."
    cost = (
        f"Accounted by privacy-loss distributions, this cost at most epsilon = "
        f"{epsilon_spent(most.epsilon)} at delta = {most.delta:g} at any site."
    )
    if is_guaranteed(run):
        return cost
    return f"{cost} The noise was seeded for simulation, so the model itself has no guarantee."
