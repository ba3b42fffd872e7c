"""Where prepared copies of a case may lie, so that they can be removed with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedvox.client.dataset.case import Case
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place


def source_fingerprint(case: Case) -> str:
    """What a simulation that trains from the dataset calls the case."""
    return f"fedvox dataset case {case.key}"


def key_in_simulations(case: Case) -> str:
    """The key under which a simulation keeps its prepared copy."""
    return hashlib.sha256(source_fingerprint(case).encode()).hexdigest()[:40]


def copies(place: Place, manifest: Manifest, cases: Sequence[Case]) -> Iterator[Path]:
    """The files in which voxels of the cases may stand; some may not be there."""
    for case in cases:
        yield place.case(case.key)
        yield from place.prepared.glob(f"*/*/{case.key}.safetensors")
    for folder in manifest.history.caches():
        for case in cases:
            yield from folder.glob(f"prepared/*/*/{key_in_simulations(case)}.safetensors")
