"""A row of the ledger: its fields, and how they are written down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fedvox.client.ledger.work import Caps, Work, WorkId
from fedvox.common.chain import Link
from fedvox.common.privacy.charge import Charge


class Kind(StrEnum):
    """What a row records."""

    OPENED = "opened"
    """The ledger began; `origin` says after which one, and what that had spent."""
    RESERVED = "reserved"
    """Work was charged, before it began."""
    RELEASED = "released"
    """What came of charged work may be sent."""
    REFUSED = "refused"
    """Nothing is sent; what was charged stays charged."""
    CLOSED = "closed"
    """The ledger of another version of the data goes on from here."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row says."""

    time: str
    """UTC, ISO 8601."""
    kind: str
    study: str = ""
    study_sha256: str = ""
    round: int = 0
    purpose: str = ""
    weights_sha256: str = ""
    reservation: int = 0
    """The row with the charge that this one settles; 0: none was charged."""
    sample_rate: float = 0.0
    noise_multiplier: float = 0.0
    steps: int = 0
    clip_norm: float = 0.0
    delta: float = 0.0
    honest_sites: int = 0
    """Sites assumed to add their share of the noise."""
    study_before: float = 0.0
    """Epsilon of the study at `delta`, before this row and after it."""
    study_after: float = 0.0
    life_before: float = 0.0
    """Epsilon of the data's whole life at `life_delta`, before this row and after it."""
    life_after: float = 0.0
    study_cap: float | None = None
    """What the site allowed then; None: anything."""
    life_cap: float | None = None
    life_delta: float = 0.0
    payload_sha256: str = ""
    decision: str = ""
    """charged, sent, or the code of a refusal."""
    reason: str = field(default="", repr=False)
    """For people at the site."""
    origin: str = field(default="", repr=False)
    """opened, closed: JSON of what the ledger comes from or goes on as."""

    @property
    def charge(self) -> Charge:
        """What the row's work spends."""
        return Charge(self.sample_rate, self.noise_multiplier, self.steps)

    @property
    def work_id(self) -> WorkId:
        """Which work the row is about."""
        return WorkId(self.study_sha256, self.round, self.weights_sha256, self.purpose)

    @property
    def terms(self) -> tuple[object, ...]:
        """As those of the work it was charged for."""
        return (self.study, self.charge, self.clip_norm, self.delta, self.honest_sites)


FIELDS = tuple(item.name for item in fields(Entry))
COLUMNS = ("sequence", *FIELDS, "previous", "hash")


_KINDS: dict[str, type | tuple[type, ...]] = {
    item.name: {"str": str, "int": int, "float": float}.get(str(item.type), (float, type(None)))
    for item in fields(Entry)
}


def is_entry(link: Link) -> bool:
    """Whether every field is of the kind that is ever written."""
    return all(isinstance(link.entry[name], kind) for name, kind in _KINDS.items())


def now() -> str:
    """The time, as rows have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def compact(value: object) -> str:
    """JSON text for the field `origin`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def about(work: Work, caps: Caps) -> dict[str, Any]:
    """The fields of a row that come from the work and from what the site allows."""
    return {
        "study": work.study,
        "study_sha256": work.id.study_sha256,
        "round": work.id.round,
        "purpose": work.id.purpose,
        "weights_sha256": work.id.weights_sha256,
        "sample_rate": float(work.charge.sample_rate),
        "noise_multiplier": float(work.charge.noise_multiplier),
        "steps": work.charge.steps,
        "clip_norm": float(work.clip_norm),
        "delta": float(work.delta),
        "honest_sites": work.honest_sites,
        "study_cap": _finite(caps.study_epsilon),
        "life_cap": _finite(caps.life_epsilon),
        "life_delta": float(caps.delta),
    }


def _finite(cap: float) -> float | None:
    return float(cap) if math.isfinite(cap) else None


def as_plain(entry: Entry) -> dict[str, Any]:
    """The fields by name."""
    return {name: getattr(entry, name) for name in FIELDS}


def row_of(link: Link) -> tuple[Any, ...]:
    """A link of the chain as the values of a row."""
    return (link.sequence, *(link.entry[name] for name in FIELDS), link.previous, link.hash)


def link_of(row: Sequence[Any]) -> Link:
    """A row as a link of the chain."""
    return Link(row[0], dict(zip(FIELDS, row[1:-2], strict=True)), row[-2], row[-1])


def entry_of(link: Link) -> Entry:
    """A link's fields as an Entry."""
    return Entry(**link.entry)  # type: ignore[arg-type]  # whether they are is what the hash says
