"""What a ledger comes to: studies, the data's whole life, refusals, the last entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from fedvox.client.ledger.entry import Entry, Kind, as_plain, entry_of
from fedvox.client.ledger.kin import book_of, kin_of, trusted_books
from fedvox.client.ledger.places import opening
from fedvox.client.ledger.uncharged import uncharged
from fedvox.client.ledger.verify import Look
from fedvox.common.chain import Link


@dataclass
class Spent:
    """Epsilon under one heading, against what the site allowed last."""

    epsilon: float = 0.0
    delta: float = 0.0
    cap: float | None = None
    """None: the site set none, or nothing was asked for yet."""
    left: float | None = None

    def note(self, epsilon: float, delta: float, cap: float | None) -> None:
        """Takes over what a row says."""
        self.epsilon, self.delta, self.cap = epsilon, delta, cap
        self.left = None if cap is None else max(cap - epsilon, 0.0)


@dataclass
class Study:
    """What one study did with the data."""

    name: str
    spent: Spent = field(default_factory=Spent)
    rounds: int = 0
    """In which work was charged, under this version of the data."""
    steps: int = 0
    charged: int = 0
    released: int = 0
    refused: int = 0
    inherited: bool = False
    """Something was spent under an earlier version of the data."""
    last: str = ""


@dataclass(frozen=True)
class Refused:
    """Refusals of one kind to one study."""

    study: str
    code: str
    times: int
    last: str
    reason: str
    """Of the last one."""


@dataclass(frozen=True)
class Point:
    """Epsilon after a charge."""

    time: str
    life: float
    study: str
    """Which was charged; empty for what a ledger began with."""
    study_epsilon: float


@dataclass(frozen=True)
class Summary:
    """One ledger, for people and for scripts."""

    dataset: str
    version: str
    predecessor: str
    """The version of the data this one went on from; empty: none."""
    kin: tuple[str, ...]
    """Other data sets with some of the same patients: what they spent is counted in `life` and in
    `studies` as well."""
    uncharged: tuple[str, ...]
    """Studies that were given the data and never charged: what they sent, if anything, had no noise
    and is not counted."""
    closed: bool
    """Another version goes on from this one."""
    rows: int
    trusted_rows: int
    """Those before the first that is not as it was written; all figures are of these."""
    head: str
    """Their last hash: whoever notes it elsewhere can tell later that nothing was cut."""
    life: Spent
    studies: tuple[Study, ...]
    refusals: tuple[Refused, ...]
    course: tuple[Point, ...]
    last: tuple[dict[str, Any], ...]
    findings: tuple[dict[str, Any], ...]

    def as_plain(self) -> dict[str, Any]:
        """In JSON's own types."""
        return {**asdict(self), "verified": not self.findings}


def summarise(found: Look, last: int) -> Summary:
    """Adds up a ledger, up to the first row that is not as it was written."""
    rows = [(link, entry_of(link)) for link in found.trusted]
    entries = [entry for _, entry in rows]
    studies: dict[str, Study] = {}
    life = Spent()
    for entry in entries:
        _count(entry, studies, life)
    for name, _ in {(e.study, e.round) for e in entries if e.kind == Kind.RESERVED}:
        studies[name].rounds += 1
    first = _opening(found.trusted)
    _inherit(first, studies)
    kin = _join(found, studies, life)
    return Summary(
        dataset=found.place.dataset,
        version=found.place.version,
        predecessor=(first.get("predecessor") or {}).get("version", ""),
        kin=kin,
        uncharged=uncharged(found.place),
        closed=bool(entries) and entries[-1].kind == Kind.CLOSED,
        rows=len(found.links),
        trusted_rows=len(rows),
        head=rows[-1][0].hash if rows else "",
        life=life,
        studies=tuple(sorted(studies.values(), key=lambda study: study.name)),
        refusals=_refusals(entries),
        course=tuple(
            Point(entry.time, entry.life_after, entry.study, entry.study_after)
            for entry in entries
            if entry.kind in (Kind.OPENED, Kind.RESERVED)
        ),
        last=tuple(
            {"sequence": link.sequence, **as_plain(entry)}
            for link, entry in (rows[-last:] if last > 0 else [])
        ),
        findings=tuple(asdict(finding) for finding in found.findings),
    )


def _opening(links: tuple[Link, ...]) -> dict[str, Any]:
    return dict(opening(links[0])) if links and links[0].entry["kind"] == Kind.OPENED else {}


def _count(entry: Entry, studies: dict[str, Study], life: Spent) -> None:
    if entry.kind == Kind.OPENED:
        life.note(entry.life_after, entry.life_delta, None)
    if not entry.study:
        return
    study = studies.setdefault(entry.study, Study(entry.study))
    study.spent.note(entry.study_after, entry.delta, entry.study_cap)
    life.note(entry.life_after, entry.life_delta, entry.life_cap)
    study.last = entry.time
    study.steps += entry.steps if entry.kind == Kind.RESERVED else 0
    study.charged += entry.kind == Kind.RESERVED
    study.released += entry.kind == Kind.RELEASED
    study.refused += entry.kind == Kind.REFUSED


def _inherit(first: dict[str, Any], studies: dict[str, Study]) -> None:
    for item in first.get("carried", {}).get("studies", ()):
        name = item["study"]
        if name not in studies:
            studies[name] = Study(name)
            studies[name].spent.note(item["epsilon"], item["delta"], None)
        studies[name].inherited = True


def _join(found: Look, studies: dict[str, Study], life: Spent) -> tuple[str, ...]:
    """Counts what was spent on the same patients elsewhere, as the next request will find it."""
    kin = kin_of(found.place)
    if not kin:
        return ()
    own, books = book_of(found.trusted), trusted_books(kin)
    if life.delta:
        whole = own.life.with_those(book.life for book in books)
        life.note(whole.epsilon(life.delta), life.delta, life.cap)
    for name, study in studies.items():
        spending = own.study(name).with_those(book.study(name) for book in books)
        if study.spent.delta:
            study.spent.note(
                spending.epsilon(study.spent.delta), study.spent.delta, study.spent.cap
            )
    return tuple(sorted({place.dataset for place in kin}))


def _refusals(entries: Iterable[Entry]) -> tuple[Refused, ...]:
    found: dict[tuple[str, str], Refused] = {}
    for entry in entries:
        if entry.kind == Kind.REFUSED:
            key = (entry.study, entry.decision)
            times = found[key].times + 1 if key in found else 1
            found[key] = Refused(*key, times, entry.time, entry.reason)
    return tuple(found[key] for key in sorted(found))
