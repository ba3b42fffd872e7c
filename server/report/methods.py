"""The Methods paragraph of a paper, and how the comparison was made fair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedvox.common.study import Study
from fedvox.server.report.findings import MODELS, patients, strategy_name
from fedvox.server.report.records import Run
from fedvox.server.report.wording import amount, listed, many, metric_word, whole

_OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
_SCHEDULES = {
    "cosine": "cosine decay over the whole study",
    "poly": "polynomial decay over the whole study",
    "constant": "a constant rate",
}
_NORMALISATIONS = {
    "zscore": "normalised to zero mean and unit variance",
    "percentile": "scaled between intensity percentiles",
    "range": "scaled to the range from 0 to 1",
    "none": "",
}


def methods(run: Run) -> str:
    """A paragraph that can be pasted into a paper."""
    study = run.study
    sentences = [
        _model(run),
        _data(run),
        _preparation(study),
        _local_training(study),
        _augmentation(study),
        _federation(study, len(run.sites)),
        _protection(run),
        _comparison(run),
        _evaluation(run),
        _software(run),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def fairness(run: Run) -> str:
    """How federated, pooled and alone were made comparable, with the numbers."""
    if run.pooled is None and not run.alone:
        return ""
    parts = [
        "All models were trained at equal steps and judged on the same test patients. The pooled "
        "model takes as many gradient steps on as many samples as all sites together took; a site "
        "alone takes as many as that site took in the federation."
    ]
    steps = run.summary.get("steps")
    taken = steps if isinstance(steps, dict) else {}
    if isinstance(total := taken.get("federated"), int):
        parts.append(_counted("The sites took", total, taken.get("samples"), " together"))
    if run.pooled is not None and run.pooled.steps:
        parts.append(_counted("the pooled model took", run.pooled.steps, run.pooled.samples))
    if any(baseline.steps for baseline in run.alone):
        alone = [baseline.steps for baseline in run.alone]
        span = whole(alone[0]) if len(set(alone)) == 1 else f"{min(alone)} to {max(alone)}"
        parts.append(f"each site alone took {span}")
    return parts[0] + (f" {'; '.join(parts[1:])}." if len(parts) > 1 else "")


def _counted(who: str, steps: int, samples: object, together: str = "") -> str:
    on = f" on {whole(samples)} samples" if isinstance(samples, int) and samples else ""
    return f"{who} {many(steps, 'step')}{on}{together}"


def _model(run: Run) -> str:
    study = run.study
    model = study.model
    parameters = run.number("parameters")
    size = f"{amount(parameters)} parameters, " if math.isfinite(parameters) else ""
    named = [name for name in run.classes if name]
    what = named[1:] if study.task.kind == "segmentation" else named
    verb = "segment" if study.task.kind == "segmentation" else "classify volumes as"
    of = f" to {verb} {listed(what)}" if what else f" for {study.task.kind}"
    return (
        f"We trained a {study.data.dims}D {MODELS[model.name]} "
        f"({size}{model.norm} normalisation){of} by federated learning "
        f"across {many(len(run.sites), 'site')}."
    )


def _data(run: Run) -> str:
    held = patients(run)
    if not sum(held.values()):
        return ""
    folds = run.study.simulation.folds
    crossed = f" (fold {run.study.simulation.fold + 1} of {folds})" if folds else ""
    return (
        f"The data ({run.study.data.source}; partition {run.study.data.partition}) comprised "
        f"{whole(held['train'])} patients for training, {whole(held['validation'])} for validation "
        f"and {whole(held['test'])} for testing{crossed}; no patient was in more than one site "
        "or split."
    )


def _preparation(study: Study) -> str:
    data = study.data
    steps = [
        f"reoriented to {data.orientation}" if data.orientation else "",
        f"resampled to {_times(data.spacing)} mm" if data.spacing else "",
        "cropped to the foreground" if data.crop == "foreground" else "",
        f"cropped or padded to {_times(data.size)} voxels" if data.size else "",
        f"denoised with a {data.denoise} filter" if data.denoise != "none" else "",
        f"clipped to [{data.window[0]:g}, {data.window[1]:g}]" if data.window else "",
        "histogram-equalised" if data.equalise else "",
        _NORMALISATIONS[data.normalise],
    ]
    done = [step for step in steps if step]
    return f"Images were {listed(done)}." if done else ""


def _local_training(study: Study) -> str:
    training = study.training
    patches = " volumes"
    private = study.privacy.mode != "none"
    if study.task.kind == "segmentation":
        patches = (
            f" patches of {_times(study.data.patch)} voxels "
            f"({100 * training.foreground:.0f} % centred on a labelled voxel)"
        )
    warmup = f" after a warm-up over {100 * training.warmup:g} % of it" if training.warmup else ""
    kept = {"keep": "kept", "reset": "reset"}[training.optimizer_state]
    limited = training.grad_clip and not private
    clip = f", gradient norm limited to {training.grad_clip:g}" if limited else ""
    batches = f"{_expected(study)} on average," if private else f"{training.batch_size}"
    loss = "Dice and cross-entropy" if study.task.kind == "segmentation" else "cross-entropy"
    return (
        f"In each of {many(training.rounds, 'round')} a site took "
        f"{many(training.local_steps, 'gradient step')} on batches of {batches}"
        f"{patches} with {_OPTIMIZERS[training.optimizer]} on {loss} loss (learning rate "
        f"{training.lr:g} with {_SCHEDULES[training.schedule]}{warmup}, weight decay "
        f"{training.weight_decay:g}{clip}; optimizer state {kept} between rounds)."
    )


def _augmentation(study: Study) -> str:
    augment: Mapping[str, float] = study.training.augment.model_dump()
    names = ("flip", "rotate", "scale", "elastic", "grid", "noise", "blur", "contrast")
    used = [f"{name} (p = {augment[name]:g})" for name in names if augment[name]]
    return f"Training data were augmented by {listed(used)}." if used else ""


def _federation(study: Study, sites: int) -> str:
    strategy, participation = study.strategy, study.participation
    weights = {"examples": "by their number of training patients", "uniform": "equally"}
    asked = (
        "All sites were asked in every round"
        if participation.fraction == 1 or sites < 2
        else f"{100 * participation.fraction:g} % of the sites were asked in a round"
    )
    return (
        f"Updates were combined with {strategy_name(strategy.name)}, weighting sites "
        f"{weights[strategy.weighting]}. {asked}."
    )


def _protection(run: Run) -> str:
    if not is_private(run):
        return "No differential privacy was applied."
    settings = run.study.privacy
    views = settings.augmentation_multiplicity
    averaged = f" in {many(views, 'augmented view')} each" if views > 1 else ""
    norm = f"norm {span(seen(run, 'clip_norm') or [settings.clip_norm], 3)}"
    moved = f", moved to the {100 * settings.clip_quantile:g} % quantile of the patients' norms"
    clip = f"{norm}{moved}" if settings.adaptive_clip else norm
    return (
        "Patients were protected by DP-SGD with the patient as the unit: in every step a site drew "
        "each of its training patients independently with probability "
        f"{span(seen(run, 'sample_rate'), 4)} (Poisson sampling), averaged the gradients of a "
        f"patient's scans{averaged}, clipped the average to {clip}, and added Gaussian noise with "
        f"noise multiplier {span(seen(run, 'noise_multiplier'), 3)} to the sum"
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


def _comparison(run: Run) -> str:
    if run.pooled is None and not run.alone:
        return ""
    alike = "" if is_private(run) else " on the same number of samples"
    without = ", without privacy" if is_private(run) else ""
    return (
        "For comparison, one model was trained on the pooled data of all sites and one at each "
        f"site alone{without}, with the same number of gradient steps{alike} as in "
        "the federation (the pooled model: as all sites together)."
    )


def _evaluation(run: Run) -> str:
    window = ""
    if run.study.task.kind == "segmentation":
        window = f" by sliding-window inference with {100 * run.study.training.overlap:g} % overlap"
    return (
        f"Models were evaluated{window} on each site's test patients and on all of them together; "
        f"the main measure is {metric_word(run.headline)}."
    )


def _software(run: Run) -> str:
    versions = run.summary.get("versions")
    known = versions if isinstance(versions, dict) else {}
    names = {"fedvox": "fedvox", "torch": "PyTorch", "monai": "MONAI", "flwr": "Flower"}
    used = [f"{label} {known[key]}" for key, label in names.items() if key in known]
    seed = f"Random seed {run.study.study.seed}"
    return f"Software: {listed(used)}. {seed}." if used else f"{seed}."


def _times(values: Sequence[float]) -> str:
    return " × ".join(f"{value:g}" for value in values)
