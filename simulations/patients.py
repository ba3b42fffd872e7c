"""Patients: what is dealt out to sites and splits, never single cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedvox.simulations.sources.source import CaseRef

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Patient:
    """A patient with all of its cases; the highest stratum among them counts."""

    name: str
    refs: tuple[CaseRef, ...]
    stratum: int
    split: str = ""
    """Given by a partition file."""


def patients_of(refs: Sequence[CaseRef], strata: Mapping[str, int]) -> list[Patient]:
    """The cases grouped by patient, sorted."""
    found: dict[str, list[CaseRef]] = {}
    for ref in sorted(refs, key=lambda ref: ref.case):
        found.setdefault(ref.patient, []).append(ref)
    return [
        Patient(name, tuple(own), max(strata.get(ref.case, 0) for ref in own))
        for name, own in sorted(found.items())
    ]
