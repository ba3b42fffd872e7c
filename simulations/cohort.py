"""What virtual sites would tell of their patients, for a plan without a consortium."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedvox.client.cohort.measure import Label, Measures, anatomical, intensities
from fedvox.client.cohort.summarise import Heading, without_noise
from fedvox.client.cohort.tally import tally
from fedvox.common.cohort.summary import Summary
from fedvox.common.study import Study
from fedvox.common.tasks.geometry import affine_of, spacing_of
from fedvox.common.volume import Volume
from fedvox.simulations.consortium import gather
from fedvox.simulations.resolve import resolve_study
from fedvox.simulations.sources import CaseRef

_LEAST_CELL = 5


def summaries(settings: Sequence[str]) -> tuple[list[Summary], dict[str, Any]]:
    """A summary of each virtual site, and the keys of a study that simulates them."""
    study, source = resolve_study(None, settings)
    consortium = gather(study, source, workers=os.cpu_count() or 1)
    refs = {ref.case: ref for ref in source.cases()}
    people: dict[str, dict[str, list[Measures]]] = defaultdict(lambda: defaultdict(list))
    # Images of phantoms and of most sets have no modality; where a window suits them, they are CT.
    guess = "CT" if study.data.window else "other"
    for row in consortium.rows:
        measured = _measured(source.load(refs[row.case]), refs[row.case], study, guess)
        people[row.site][row.patient].append(measured)
    found = [
        without_noise(tally(patients), _heading(site, patients))
        for site, patients in sorted(people.items())
    ]
    where = {
        "data.source": study.data.source,
        "data.partition": study.data.partition,
        "simulation.sites": study.simulation.sites,
        "simulation.patients": study.simulation.patients,
    }
    return found, where


def _heading(site: str, patients: dict[str, list[Measures]]) -> Heading:
    digest = hashlib.sha256("\n".join(sorted(patients)).encode()).hexdigest()[:24]
    name = "".join(letter if letter.isalnum() else "-" for letter in site.lower()).strip("-")
    return Heading(name[:63] or "site", digest, "histograms", _LEAST_CELL)


def _measured(volume: Volume, ref: CaseRef, study: Study, guess: str) -> Measures:
    from nibabel.orientations import aff2axcodes

    dims = study.data.dims
    axes = "".join(code or "?" for code in aff2axcodes(volume.affine))
    order = anatomical(axes, dims)
    spacing = spacing_of(affine_of(volume.affine, dims))
    size = volume.image.shape[1:]
    label = volume.label if isinstance(volume.label, np.ndarray) and volume.label.ndim else None
    return Measures(
        tuple(spacing[axis] for axis in order),
        tuple(size[axis] for axis in order),
        volume.image.shape[0],
        ref.columns.get("modality", guess),
        intensities(volume.image[0], label),
        _labels(volume, study),
    )


def _labels(volume: Volume, study: Study) -> frozenset[Label]:
    classes, mapped = study.task.classes, study.data.label_map

    def name(value: int) -> str:
        index = mapped.get(str(value), value)
        return classes[index] if 0 <= index < len(classes) else ""

    if study.task.kind == "classification":
        return frozenset({(None, name(int(volume.label)))})
    values = np.unique(np.asarray(volume.label)).tolist()
    return frozenset((int(value), name(int(value))) for value in values if value > 0)
