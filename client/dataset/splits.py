"""Which patients train, validate and test: by a hash of the pseudonym, and so for good.

A patient's split depends on nothing but himself and the study's seed: not on who else is in the
dataset, nor on its version. So no patient moves from test to training when others come or go.
"""

from __future__ import annotations

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(patient: str, seed: int, test: float, validation: float) -> str:
    """The split of a patient; shares are met on average, not exactly."""
    digest = hashlib.sha256(f"fedvox split 1\0{seed}\0{patient}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"
