"""What the rows of a ledger add up to: what was spent, and how each piece of work stands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedvox.client.ledger.entry import Entry, Kind, entry_of
from fedvox.client.ledger.schema import START
from fedvox.client.ledger.spending import Spending
from fedvox.client.ledger.work import Caps, Work, WorkId
from fedvox.common.chain import Link, fits
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.privacy.charge import Charge


@dataclass(frozen=True)
class Quote:
    """Epsilon before and after a charge."""

    study_before: float
    study_after: float
    life_before: float
    life_after: float


@dataclass(frozen=True)
class Standing:
    """How far a piece of work has come; of several attempts the last that was charged."""

    sequence: int
    """Of the row that charged it."""
    charged: Entry
    settled: str = ""
    """released, refused, or empty: nothing was ever sent for it."""
    settled_sequence: int = 0
    payload_sha256: str = ""


class Book:
    """The sum of the rows so far. Knows nothing of files."""

    def __init__(self) -> None:
        self.count = 0
        self.head = START
        self.life = Spending()
        self.of: tuple[str, ...] = ()
        """The data set and its version."""
        self.closed: Mapping[str, Any] = {}
        """What the closing row says; empty while the ledger is in use."""
        self._studies: dict[str, Spending] = {}
        self._standing: dict[WorkId, Standing] = {}

    def add(self, link: Link) -> None:
        """Counts the next row; SiteError where it does not follow the one before."""
        if (link.sequence, link.previous) != (self.count + 1, self.head) or not fits(link):
            text = f"row {link.sequence} does not follow row {self.count} as it was read"
            raise SiteError(Refusal.INTERNAL, f"{text}; see fedvox site ledger --verify")
        entry = entry_of(link)
        if entry.kind == Kind.OPENED:
            self._open(json.loads(entry.origin))
        elif entry.kind == Kind.RESERVED:
            self._spend(entry.study, entry.charge).record(entry.delta, entry.study_after)
            self.life.record(entry.life_delta, entry.life_after)
            self._standing[entry.work_id] = Standing(link.sequence, entry)
        elif entry.kind == Kind.CLOSED:
            self.closed = json.loads(entry.origin)
        elif entry.reservation:
            self._settle(link.sequence, entry)
        self.count, self.head = link.sequence, link.hash

    def _open(self, origin: Mapping[str, Any]) -> None:
        self.of = (origin["dataset"], origin["version"])
        carried = origin["carried"]
        for item in carried["studies"]:
            for charge in item["charges"]:
                self._spend(item["study"], Charge(*charge)).record(item["delta"], item["epsilon"])
        self.life.record(**carried["life"])

    def _spend(self, study: str, charge: Charge) -> Spending:
        spending = self._studies.setdefault(study, Spending())
        spending.add(charge)
        self.life.add(charge)
        return spending

    def _settle(self, sequence: int, entry: Entry) -> None:
        standing = self._standing[entry.work_id]
        self._standing[entry.work_id] = replace(
            standing,
            settled=entry.kind,
            settled_sequence=sequence,
            payload_sha256=entry.payload_sha256,
        )

    def standing(self, work: WorkId) -> Standing | None:
        """How far the work has come; None where it was never charged."""
        return self._standing.get(work)

    def study(self, name: str) -> Spending:
        """What was spent under a study's name."""
        return self._studies.get(name, Spending())

    def quote(
        self, work: Work, caps: Caps, charge: Charge | None, kin: Sequence[Book] = ()
    ) -> Quote:
        """Epsilon as it is, and as it would be after the charge.

        `kin` are the books of other data sets with some of the same patients: they count as well.
        """
        study = self.study(work.study).with_those(book.study(work.study) for book in kin)
        life = self.life.with_those(book.life for book in kin)
        before = study.epsilon(work.delta), life.epsilon(caps.delta)
        if charge is None:
            return Quote(before[0], before[0], before[1], before[1])
        after = study.epsilon(work.delta, charge), life.epsilon(caps.delta, charge)
        return Quote(before[0], after[0], before[1], after[1])

    def carried(self) -> dict[str, Any]:
        """What the ledger of another version of the data must go on from."""
        studies = [
            {
                "study": name,
                "delta": spending.delta,
                "epsilon": spending.recorded,
                "charges": [[c.sample_rate, c.noise_multiplier, c.steps] for c in charges],
            }
            for name, spending in sorted(self._studies.items())
            if (charges := spending.charges())
        ]
        life = {"delta": self.life.delta, "epsilon": self.life.recorded}
        return {"life": life, "studies": studies}


def over_noise(work: Work, caps: Caps) -> str:
    """Why the work has too little noise or too large a delta for the site; empty: it has not."""
    noise = work.charge.noise_multiplier
    if noise <= 0 or noise < caps.least_noise:
        return f"noise multiplier {noise:g}; this site works with {caps.least_noise:g} or more"
    if work.delta > caps.delta:
        return f"delta {work.delta:g}; this site allows {caps.delta:g} at most"
    return ""


def counted_with(kin: Sequence[Book]) -> str:
    """Which other data sets count, and why; empty: none."""
    names = ", ".join(sorted(repr(book.of[0]) for book in kin))
    return f"counted with data set {names}, which has some of the same patients" if kin else ""


def over_budget(work: Work, quote: Quote, caps: Caps, kin: Sequence[Book] = ()) -> str:
    """Which cap the work would break, and how much is left; empty: none."""
    limits = (
        (f"study {work.study!r}", quote.study_before, quote.study_after, caps.study_epsilon),
        ("the data's whole life", quote.life_before, quote.life_after, caps.life_epsilon),
    )
    broken = [
        f"{whose}: epsilon {before:.4g} of {cap:g} spent, {max(cap - before, 0.0):.4g} left, "
        f"{after:.4g} after this work"
        for whose, before, after, cap in limits
        if not after <= cap or not math.isfinite(after)
    ]
    return "; ".join([*broken, counted_with(kin)] if broken and kin else broken)
