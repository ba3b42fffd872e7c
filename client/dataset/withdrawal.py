"""Takes a patient out of every dataset of the site, voxels and all.

In this order: the patient goes on the list of those who are not used, so that no import brings him
back; his voxels go, in the store and in every prepared copy; then the manifest forgets him and a
new version is formed. Cut off anywhere, the same command again ends it. The versions he was in stay
on record by the hashes of their cases, since ledgers refer to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.dataset.caches import copies
from fedvox.client.dataset.lock import alone
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place, datasets
from fedvox.client.dataset.studies import Used, studies_that_used
from fedvox.client.dataset.withdrawn import note_withdrawn, withdrawn
from fedvox.common.errors import InputError
from fedvox.common.files import sync_folder, writing

_PSEUDONYM = re.compile(r"P(-[A-Z2-7]{4}){4}")


@dataclass(frozen=True)
class Gone:
    """What was removed from one dataset."""

    cases: int
    files: int
    version: str
    """The version without the patient; empty where there never was one."""
    fingerprint: str


@dataclass(frozen=True)
class Withdrawal:
    """What came of it."""

    patient: str
    datasets: Mapping[str, Gone]
    studies: tuple[Used, ...]


def withdraw(home: Path, pseudonym: str) -> Withdrawal:
    """Removes a patient; InputError for a pseudonym that no dataset knows."""
    pseudonym = pseudonym.strip().upper()
    if not _PSEUDONYM.fullmatch(pseudonym):
        raise InputError(
            "this is no pseudonym: one looks like P-3KQ7-NZ2M-XB5T-A4WD; fedvox site data list "
            "shows them, and fedvox site withdraw --patient-id asks for a patient ID"
        )
    places = datasets(home)
    if pseudonym not in withdrawn(home) and not any(_knows(p, pseudonym) for p in places):
        raise InputError(f"{home}: no dataset here knows the patient {pseudonym}")
    note_withdrawn(home, pseudonym)
    gone, studies = {}, []
    for place in places:
        with alone(place), Manifest(place.manifest) as manifest:
            studies += studies_that_used(place, manifest, pseudonym)
            removed = _remove(place, manifest, pseudonym)
        if removed is not None:
            gone[place.name] = removed
    return Withdrawal(pseudonym, gone, tuple(studies))


def _knows(place: Place, pseudonym: str) -> bool:
    with Manifest(place.manifest) as manifest:
        return manifest.knows(pseudonym)


def _remove(place: Place, manifest: Manifest, pseudonym: str) -> Gone | None:
    if not manifest.knows(pseudonym):
        return None
    cases = manifest.cases_of(pseudonym)
    files = sum(_unlink(path) for path in copies(place, manifest, cases))
    manifest.forget(pseudonym)
    version = manifest.form_version()
    manifest.settle()
    if version is None:
        return Gone(len(cases), files, "", "")
    return Gone(len(cases), files, version.name, version.fingerprint)


def _unlink(path: Path) -> bool:
    with writing(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
    return True
