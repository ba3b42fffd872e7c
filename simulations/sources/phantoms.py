"""Phantom patients as a source: needs no data, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedvox.common.study.schema import Study
from fedvox.common.volume import CaseError, Volume
from fedvox.simulations.phantom import CLASSES, FOREGROUND, Character, character, phantom
from fedvox.simulations.phantom.patient import SIDE, SPACING_MM, disease_of
from fedvox.simulations.sources.source import CaseRef, Suggestions

_CHARACTER, _COUNT, _DISEASE, _BODY = 0, 1, 2, 3
"""First part of the seed of each kind of draw."""
_CLASSIFIED_PATIENTS = 48
_CLASSIFIED_SIDE = 28
"""Classified are cut-outs around the organ, as a radiologist would look at it."""


@dataclass(frozen=True)
class PhantomSource:
    """Sites of procedural patients; a site's patients depend on its number and the seed only."""

    seed: int
    sites: int
    patients: int
    heterogeneity: float
    kind: str = "segmentation"
    dims: int = 3
    name: str = "phantom"

    @classmethod
    def of(cls, study: Study) -> PhantomSource:
        """The phantoms that a study asks for."""
        wanted = study.simulation
        return cls(
            study.study.seed, wanted.sites, wanted.patients, wanted.heterogeneity,
            study.task.kind, study.data.dims,
        )  # fmt: skip

    def suggests(self) -> Suggestions:
        """Classes, window and patch for phantoms; each phantom stays at its site."""
        segmenting = self.kind == "segmentation"
        data: dict[str, object] = {
            "dims": self.dims,
            "channels": 1,
            "partition": "column:site",
            "window": [-150.0, 250.0],
            "normalise": "zscore",
        }
        data |= (
            {"patch": [32] * self.dims} if segmenting else {"size": [_CLASSIFIED_SIDE] * self.dims}
        )
        classes = list(FOREGROUND if segmenting else CLASSES)
        tables: Suggestions = {
            "study": {"name": "phantom"},
            "task": {"kind": self.kind, "classes": classes},
            "data": data,
        }
        if segmenting:  # small batches and short rounds: minutes on a laptop, baselines included
            tables["training"] = {"rounds": 16, "local_steps": 20, "batch_size": 2}
        else:  # a class a patient says less than a label a voxel
            tables["simulation"] = {"patients": _CLASSIFIED_PATIENTS}
            tables["training"] = {
                "local_steps": 15,
                # So few patients would be learned by heart.
                "augment": {"flip": 0.5, "rotate": 0.5, "scale": 0.5},
            }
        return tables

    def cases(self) -> Sequence[CaseRef]:
        """The patients of all sites."""
        return self._cases

    @cached_property
    def _cases(self) -> tuple[CaseRef, ...]:
        return tuple(ref for site in range(self.sites) for ref in self.site_cases(site))

    def site_cases(self, site: int) -> tuple[CaseRef, ...]:
        """The patients of one site."""
        rng = np.random.default_rng([self.seed, _COUNT, site])
        count = max(1, round(self.patients * rng.uniform(0.75, 1.25)))
        return tuple(self._ref(site, patient) for patient in range(count))

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """Phantoms are never unusable."""
        return ()

    def fingerprint(self, ref: CaseRef) -> str:
        """Everything the phantom is made from."""
        site, patient = _numbers(ref)
        made_from = (
            _recipe(), SIDE, self.seed, self.kind, self.dims, site, patient,
            sorted(asdict(self._character(site)).items()),
        )  # fmt: skip
        return sha256(repr(made_from).encode()).hexdigest()

    def load(self, ref: CaseRef) -> Volume:
        """Paints and scans the patient."""
        site, patient = _numbers(ref)
        disease = self._disease(site, patient)
        rng = np.random.default_rng([self.seed, _BODY, site, patient])
        made = phantom(self._character(site), rng, disease)
        image, label = made.image, made.label
        if disease:
            box = _around(label)
            image, label = image[box], label[box]
        if self.dims == 2:
            level = _telling_slice(label)
            image, label = image[:, :, level], label[:, :, level]
        affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
        truth = CLASSES.index(disease) if disease else np.ascontiguousarray(label)
        return Volume(np.ascontiguousarray(image)[None], affine, truth)

    def _ref(self, site: int, patient: int) -> CaseRef:
        name = f"s{site + 1:04d}-p{patient + 1:04d}"
        columns = {"site": f"site-{site + 1}"}
        if disease := self._disease(site, patient):
            columns["class"] = disease
        return CaseRef(name, name, columns)

    def _character(self, site: int) -> Character:
        return _character(self.seed, site, self.heterogeneity)

    def _disease(self, site: int, patient: int) -> str:
        if self.kind == "segmentation":
            return ""
        rng = np.random.default_rng([self.seed, _DISEASE, site, patient])
        return disease_of(self._character(site), rng)


_character = lru_cache(maxsize=4096)(character)


@lru_cache(maxsize=1)
def _recipe() -> str:
    """Of the code that paints: a phantom prepared by other code is never taken for this one's."""
    files = sorted(Path(character.__code__.co_filename).parent.glob("*.py"))
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _numbers(ref: CaseRef) -> tuple[int, int]:
    site, patient = ref.case[1:].split("-p")
    return int(site) - 1, int(patient) - 1


def _around(label: npt.NDArray[np.int32]) -> tuple[slice, ...]:
    """A cube around the middle of the organ."""
    middle = np.mean(np.nonzero(label), axis=1).round().astype(int)
    first = np.clip(middle - _CLASSIFIED_SIDE // 2, 0, SIDE - _CLASSIFIED_SIDE)
    return tuple(slice(start, start + _CLASSIFIED_SIDE) for start in first.tolist())


def _telling_slice(label: npt.NDArray[np.int32]) -> int:
    """The axial slice with most of a lesion in it, else most of the organ."""
    areas = (label == 2).sum((0, 1)) * label.shape[2] ** 2 + (label > 0).sum((0, 1))
    return int(areas.argmax())
