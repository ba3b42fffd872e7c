"""Which studies were given a patient's images: as the dataset, the ledgers and the site recall."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place


@dataclass(frozen=True)
class Used:
    """A study that had a version with the patient in it."""

    dataset: str
    study: str
    study_sha256: str
    state: str
    """As the site's own decision stands; empty where none is kept."""
    charged: bool
    """Whether privacy was spent on it."""


def studies_that_used(place: Place, manifest: Manifest, pseudonym: str) -> list[Used]:
    """The studies, by name."""
    keys = [case.key for case in manifest.cases_of(pseudonym)]
    named = manifest.history.uses_of(keys)
    charged: dict[str, str] = {}
    for version in manifest.history.versions_with(keys):
        charged |= _charged(place, version.name)
    states = {sha: _state(place.home, sha) for sha in named | charged}
    found = [
        Used(place.name, name, sha, states[sha], sha in charged)
        for sha, name in (named | charged).items()
    ]
    return sorted(found, key=lambda used: (used.study, used.study_sha256))


def _charged(place: Place, version: str) -> dict[str, str]:
    """Studies that the ledger of a version was charged for: hash -> name."""
    from fedvox.client.ledger import places, schema
    from fedvox.client.ledger.entry import Kind, entry_of

    ledger = places.Place(place.home, place.name, version)
    if not ledger.rows.exists():
        return {}
    with places.looking(ledger) as connection:
        entries = [entry_of(link) for link in schema.links_from(connection, 1)]
    return {entry.study_sha256: entry.study for entry in entries if entry.kind == Kind.RESERVED}


def _state(home: Path, study_sha256: str) -> str:
    try:
        text = (home / "studies" / f"{study_sha256}.json").read_text(encoding="utf-8")
        return str(json.loads(text).get("state", ""))
    except (OSError, ValueError, AttributeError):
        return ""
