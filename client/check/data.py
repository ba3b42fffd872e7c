"""The site's cases against the study: enough, whole, of every class, and as the contract says."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fedvox.client.check.finding import FEW, Check, Finding, about, green, red, yellow
from fedvox.client.check.supply import Supply
from fedvox.client.check.visit import Visit
from fedvox.client.dataset.splits import SPLITS
from fedvox.common.errors import FedvoxError, SiteError
from fedvox.common.study import Study
from fedvox.common.volume import Aside

_MANY_ASIDE = 0.5
_STRETCHED = 2.0
"""Resampling by more than this factor along an axis invents or drops most of what is there."""
_CLIPPED = 0.98
"""Share of voxels at the ends of the intensities, from which on a window hardly shows anything."""
_INGEST = "take them in again: `fedvox site ingest`; `fedvox site data list` shows what is there"


def _source(visit: Visit) -> Finding:
    if not visit.spec:
        remedy = "`fedvox site ingest SRC --dataset NAME`, then data = 'dataset:NAME' in site.toml"
        return red("the site has no data: site.toml names none", remedy, "none named")
    problem = visit.supply_problem
    if isinstance(problem, SiteError):
        remedy = "see the message; the operator must change the study, or the site its data"
        return red(problem.detail or str(problem), remedy, problem.refusal.sentence)
    if isinstance(problem, FedvoxError):
        return red(str(problem), "do as it says, then check again", "cannot be opened")
    if visit.study is None:
        return _without_study(visit)
    return green(f"{visit.spec} opens and is prepared for the study", "opens")


def _without_study(visit: Visit) -> Finding:
    """What can be said of data before anybody asks for something."""
    kind, _, name = visit.spec.partition(":")
    if kind != "dataset":
        return green(f"{visit.spec}: cases are made for a study; name one to see more", "opens")
    from fedvox.client.dataset.dataset import Dataset

    held = Dataset.open(visit.home, name)
    people = len(held.patients())
    unlabelled = sum(not case.facts.label for case in held.cases())
    text = f"{visit.spec}: {people} patients, {len(held.cases())} cases"
    if not people:
        return red(text, _INGEST, "no patients")
    if unlabelled:
        remedy = "ingest with --labels; a case without a label trains nothing"
        return yellow(f"{text}, {unlabelled} without a label", remedy, "some without a label")
    return green(f"{text}, all labelled", f"{about(people)} patients, all labelled")


def _patients(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None:
        return None
    from fedvox.client.policy.load import PolicyError
    from fedvox.client.policy.rules import Policy

    try:
        policy = visit.policy
    except PolicyError:  # told by policy.signed
        policy = Policy()
    count, least = supply.patients("train"), max(1, policy.participation.least_patients)
    told, shared = f"{count} patients to train on", f"{about(count)} to train on"
    if count < least:
        remedy = "take more patients in, or lower participation.least_patients in policy.toml"
        return red(f"{told}; the policy wants {least}", remedy, "too few")
    if study.privacy.mode != "none" and count < 10 * study.training.batch_size:
        remedy = "more patients: noise that hides one of so few drowns most of what they say"
        return yellow(f"{told} under a promise of privacy", remedy, shared)
    return green(told, shared)


def _splits(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None:
        return None
    counts = {split: supply.patients(split) for split in SPLITS}
    told = ", ".join(f"{split} {count}" for split, count in counts.items())
    wanted = {"validation": study.data.validation, "test": study.data.test}
    empty = [split for split, share in wanted.items() if share and not counts[split]]
    if not counts["train"]:
        return red(told, "take more patients in: nobody is left to train on", "no training split")
    if empty:
        remedy = "more patients: splits follow from a hash, and few patients may miss one"
        shared = f"{' and '.join(empty)} empty"
        return yellow(f"{told}: this site will not be asked to evaluate", remedy, shared)
    return green(told, "none empty")


def _aside(visit: Visit) -> Finding | None:
    supply = visit.supply
    if supply is None or not supply.cases:
        return None
    out, total = sum(supply.aside.values()), len(supply.cases)
    if not out:
        return green(f"all {total} cases fit the data contract", "all fit")
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(supply.aside.items()))
    text = f"{out} of {total} cases cannot be used: {reasons}"
    remedy = "`fedvox site data show CASE` shows one; ingest again with labels that fit the study"
    shared = f"{about(out)} of {about(total)} cannot be used"
    make = red if out > _MANY_ASIDE * total else yellow
    return make(text, remedy, shared)


def _label_map(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None or not supply.cases:
        return None
    allowed = _allowed(study)
    strange = Counter(
        value
        for case in supply.cases
        for value in ({*case.facts.values} if case.facts.label == "map" else set())
        if str(value) not in allowed
    )
    if strange:
        told = ", ".join(f"{value} in {count} cases" for value, count in sorted(strange.items()))
        remedy = "ask the operator for data.label_map, or ingest again with labels mapped"
        return red(f"labels hold values the study does not know: {told}", remedy, "does not fit")
    if supply.aside.get(str(Aside.LABEL_VALUE)):
        remedy = "ingest again with classes named as in task.classes"
        return red("labels name classes the study does not know", remedy, "does not fit")
    return green("every label is one of the study's", "fits")


def _allowed(study: Study) -> frozenset[str]:
    return frozenset(study.data.label_map or map(str, range(len(study.task.classes))))


def _classes(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None or not supply.patients("train"):
        return None
    counts = _cases_by_class(study, supply)
    names = study.task.classes[1:] if study.task.kind == "segmentation" else study.task.classes
    first = len(study.task.classes) - len(names)
    told = ", ".join(f"{name} {counts[at]}" for at, name in enumerate(names, first))
    missing = [name for at, name in enumerate(names, first) if not counts[at]]
    common = all(counts[at] >= FEW for at in range(first, first + len(names)))
    shared = f"every class in {FEW} training cases or more" if common else "some classes are rare"
    if len(missing) == len(names):
        return red(f"training cases by class: {told}", _INGEST, "no class is there")
    if missing:
        remedy = "nothing, if this site has no such patients: others do; else look at its labels"
        return yellow(f"training cases by class: {told}", remedy, shared)
    return green(f"training cases by class: {told}", shared)


def _cases_by_class(study: Study, supply: Supply) -> Counter[int]:
    """Training cases that show each class."""
    counts: Counter[int] = Counter()
    for case in supply.prepared():
        if study.task.kind == "classification":
            counts[int(case.label)] += 1
        else:
            counts.update(np.unique(case.foreground[:, 0]).tolist())
    return counts


def _spacing(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None or not supply.patients("train"):
        return None
    if study.data.spacing and supply.cases:
        dims = study.data.dims
        found = np.array([sorted(case.facts.spacing_mm[:dims]) for case in supply.cases])
        ratio = found / np.sort(study.data.spacing)
        what, remedy = "the contract's spacing", "ask the operator to widen the contract"
    else:  # as they are prepared
        found = np.array([case.spacing for case in supply.some_prepared()])
        ratio = found / np.median(found, axis=0)
        what = "each other's spacing"
        remedy = "ask the operator for data.spacing, so that all are resampled to one"
    worst = float(np.maximum(ratio, 1 / ratio).max())
    far = float((np.maximum(ratio, 1 / ratio).max(axis=1) > _STRETCHED).mean())
    told = f"up to {worst:.2g} times {what}"
    if far > 0.5:
        return yellow(f"most cases are far off: {told}", remedy, "most are far off")
    if far:
        return yellow(f"some cases are far off: {told}", remedy, "some are far off")
    return green(told, "fits")


def _patch(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None or not supply.patients("train"):
        return None
    patch = np.array(study.data.patch)
    shapes = np.array([case.image.shape[1:] for case in supply.some_prepared()])
    small = float((shapes < patch).any(axis=1).mean())
    middle = "x".join(str(int(size)) for size in np.median(shapes, axis=0))
    told = f"patch {'x'.join(map(str, patch))}, images about {middle} voxels"
    if small > 0.5:
        remedy = "most of a patch would be padding: ask for a smaller data.patch, or finer spacing"
        return yellow(f"{told}: most are smaller than the patch", remedy, "most are smaller")
    return green(told, "fits")


def _intensity(visit: Visit) -> Finding | None:
    study, supply = visit.study, visit.supply
    if study is None or supply is None or not supply.patients("train"):
        return None
    window = list(study.data.window)
    told = f"window {window}" if window else "no window"
    images = [np.asarray(case.image) for case in supply.some_prepared()]
    shares = [_at_ends(image) for image in images]
    if np.median([np.ptp(image) for image in images]) == 0:
        remedy = "the window misses this site's intensities: are its images in the same units?"
        return red(f"{told}: images become constant", remedy, "images become constant")
    if np.median(shares) > _CLIPPED:
        remedy = "ask the operator whether the window suits these images"
        return yellow(f"{told}: nearly all voxels are at its ends", remedy, "hardly fits")
    return green(f"{told}: {1 - np.median(shares):.0%} of the voxels lie inside", "fits")


def _at_ends(image: np.ndarray) -> float:
    """Share of voxels at the smallest or largest value: where clipping puts them."""
    low, high = image.min(), image.max()
    return float(((image == low) | (image == high)).mean())


CHECKS = (
    Check("data.source", _source),
    Check("data.patients", _patients),
    Check("data.splits", _splits),
    Check("data.contract", _aside),
    Check("data.label_map", _label_map),
    Check("data.classes", _classes),
    Check("data.spacing", _spacing),
    Check("data.patch", _patch),
    Check("data.intensity", _intensity),
)
