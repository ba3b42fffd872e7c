"""The Methods paragraph of a paper, and how the comparison was made fair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedvox.common.privacy.terms import patients_per_step
from fedvox.common.study import Study
from fedvox.server.report.findings import MODELS, patients, strategy_name
from fedvox.server.report.methods_privacy import protection
from fedvox.server.report.privacy import is_private
from fedvox.server.report.records import Run
from fedvox.server.report.wording import (
    amount,
    listed,
    many,
    metric_word,
    whole,
)

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
        protection(run),
        _comparison(run),
        _evaluation(run),
        _software(run),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def fairness(run: Run) -> str:
    """How federated, pooled and alone were made comparable, with the numbers."""
    if run.pooled is None and not run.alone:
        return ""
    samples = " on as many samples" if not is_private(run) else ""
    parts = [
        "All models were trained at equal steps and judged on the same test patients. The pooled "
        f"model takes as many gradient steps{samples} as all sites together took; a site "
        "alone takes as many as that site took in the federation."
    ]
    if is_private(run):
        parts[0] += (
            " The pooled model and the sites alone were trained without privacy, so the "
            "distance to them holds its price as well."
        )
    steps = run.summary.get("steps")
    taken = steps if isinstance(steps, dict) else {}
    if isinstance(total := taken.get("federated"), int):
        # Under privacy a step's patients are drawn by chance: their number is not known.
        drawn = None if is_private(run) else taken.get("samples")
        parts.append(_counted("The sites took", total, drawn, " together"))
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
    standard = ", standardised convolutions" if model.standardise else ""
    begun = " It began with the weights of an earlier study." if model.start else ""
    frozen = (
        f" The layers {listed(list(model.freeze))} stayed as they were." if model.freeze else ""
    )
    return (
        f"We trained a {study.data.dims}D {MODELS[model.name]} "
        f"({size}{model.norm} normalisation{standard}){of} by federated learning "
        f"across {many(len(run.sites), 'site')}.{begun}{frozen}"
    )


def _data(run: Run) -> str:
    held = patients(run)
    if not sum(held.values()):
        return ""
    if run.is_consortium:
        return _own_data(run, held)
    folds = run.study.simulation.folds
    crossed = f" (fold {run.study.simulation.fold + 1} of {folds})" if folds else ""
    return (
        f"The data ({run.study.data.source}; partition {run.study.data.partition}) comprised "
        f"{whole(held['train'])} patients for training, {whole(held['validation'])} for validation "
        f"and {whole(held['test'])} for testing{crossed}; no patient was in more than one site "
        "or split."
    )


def _own_data(run: Run, held: Mapping[str, int]) -> str:
    """Of a consortium: nobody can tell whether a patient was at two hospitals."""
    told = "by the rounded counts that they gave, " if is_private(run) else ""
    phantoms = run.study.data.source == "phantom"
    kind = "phantoms that it had made itself" if phantoms else "its own data"
    return (
        f"Each site trained on {kind} and sent none of them: {told}{whole(held['train'])} "
        f"patients for training, {whole(held['validation'])} for validation and "
        f"{whole(held['test'])} for testing; at a site no patient was in more than one split. "
        "Whether a patient was known at several sites was not looked for."
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
    batches = f"{training.batch_size}{patches}"
    if private:
        batches = f"{many(patients_per_step(study), 'patient')} on average, as{patches}"
    loss = "Dice and cross-entropy" if study.task.kind == "segmentation" else "cross-entropy"
    return (
        f"In each of {many(training.rounds, 'round')} a site took "
        f"{many(training.local_steps, 'gradient step')} on batches of {batches}"
        f" with {_OPTIMIZERS[training.optimizer]} on {loss} loss (learning rate "
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
    smoothed = (
        f" The model is the moving average over rounds with decay {strategy.ema:g}."
        if strategy.ema
        else ""
    )
    return (
        f"Updates were combined with {strategy_name(strategy.name)}, weighting sites "
        f"{weights[strategy.weighting]}. {asked}.{smoothed}"
    )


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
    if is_private(run) and not run.union and not run.metrics:
        return "Metrics were not told by the sites, since they are not covered by what was charged."
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
