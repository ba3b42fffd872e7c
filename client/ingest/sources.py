"""What the manifest remembers of files: tokens, from which nobody reads a name or a path."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fedvox.client.dataset.manifest import SourceOf
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.ingest.scan import ScanRef, SetAside

_TOKEN_BYTES = 16
_SEALED_FILES = 20


def source_of_scan(key: SiteKey, ref: ScanRef, label: str, recipe: str) -> SourceOf:
    """The source that a scan is; `label` is the fingerprint of its label, if it has one."""
    named = ref.sop_uids or tuple(f"{ref.patient}\0{path.absolute()}" for path in ref.files)
    return SourceOf(
        key.token("source", f"{ref.reader}\0{ref.fingerprint}"),
        key.token("label", label) if label else "",
        recipe,
        key.pseudonym(ref.patient) if ref.patient else "",
        _tokens(key, "instance", named),
        places(key, ref.files),
    )


def source_of_aside(key: SiteKey, aside: SetAside, recipe: str) -> SourceOf:
    """The source that files are of which no scan was made."""
    paths = sorted(str(path.absolute()) for path in aside.files)
    return SourceOf(
        key.token("aside", "\0".join([str(aside.reason), *paths])),
        "",
        recipe,
        key.pseudonym(aside.patient) if aside.patient else "",
        places=places(key, aside.files),
    )


def places(key: SiteKey, files: Iterable[Path]) -> tuple[bytes, ...]:
    """Tokens of where files lie."""
    return _tokens(key, "place", (str(path.absolute()) for path in files))


def sealed_detail(key: SiteKey, files: Iterable[Path], detail: str) -> bytes:
    """Which files, and what was wrong with them, for people at the site who have its key."""
    paths = [str(path.absolute()) for path in files]
    plain = {"files": paths[:_SEALED_FILES], "count": len(paths), "detail": detail[:2000]}
    return key.seal(json.dumps(plain))


def _tokens(key: SiteKey, purpose: str, values: Iterable[str]) -> tuple[bytes, ...]:
    found = {bytes.fromhex(key.token(purpose, value))[:_TOKEN_BYTES] for value in values}
    return tuple(sorted(found))
