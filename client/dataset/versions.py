"""Versions of a dataset: a number that only grows, and a fingerprint of what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, order=True)
class Version:
    """A state of a dataset that never changes."""

    number: int
    fingerprint: str
    cases: int
    patients: int
    time: str

    @property
    def name(self) -> str:
        """What ledger and lineage call it: with the number, since a content may come back."""
        return f"{self.number}-{self.fingerprint[:24]}"


def fingerprint_of(members: Iterable[tuple[str, str]]) -> str:
    """Hash over (case, patient): over the cases, and over which of them are of one person.

    The pseudonyms themselves do not count: the same images at two sites, or under a new key, have
    the same fingerprint.
    """
    people: dict[str, list[str]] = {}
    for key, patient in members:
        people.setdefault(patient, []).append(key)
    lines = sorted(" ".join(sorted(keys)) for keys in people.values())
    return hashlib.sha256("\n".join(["fedvox dataset 1", *lines]).encode()).hexdigest()


def now() -> str:
    """The time, as the manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
