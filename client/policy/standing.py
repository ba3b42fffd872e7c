"""How each study stands at a site: decided, done, spent, sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedvox.client.policy.approvals import Approvals, Record, State
from fedvox.client.policy.progress import now_of, progress_of
from fedvox.client.policy.recording import site_recorder
from fedvox.common.errors import FedvoxError
from fedvox.common.study import parse_study


@dataclass(frozen=True)
class Standing:
    """One study at this site."""

    name: str
    study_sha256: str
    state: str
    by: str
    decided: str
    first_seen: str
    working: bool
    """Something is being done for it now."""
    rounds_done: int
    rounds: int
    """Of the whole study; 0: it cannot be read by this release."""
    protects: bool
    """Its updates hide every single patient."""
    epsilon: float | None
    """Spent by studies of its name, by the site's ledgers; None: nothing was charged."""
    answers: int
    bytes_sent: int
    last_sent: str
    last_asked: str
    last_refusal: str


def standings(home: Path) -> list[Standing]:
    """All studies that ever asked; those that wait for a person first."""
    spent = _spent(home)
    now = now_of(home)
    working = now.study_sha256 if now is not None and now.is_running else ""
    records = Approvals(home, site_recorder(home)).records()
    records.sort(key=lambda record: record.state is not State.WAITING)
    return [_standing(home, record, spent, working) for record in records]


def _standing(home: Path, record: Record, spent: dict[str, float], working: str) -> Standing:
    done = progress_of(home, record.study_sha256)
    try:
        study = parse_study(record.study)
        rounds, protects = study.training.rounds, study.privacy.mode != "none"
    except FedvoxError:
        rounds, protects = 0, False
    return Standing(
        record.name,
        record.study_sha256,
        str(record.state),
        record.by,
        record.decided,
        record.first_seen,
        working == record.study_sha256,
        done.rounds,
        rounds,
        protects,
        spent.get(record.name),
        done.answers,
        done.bytes_sent,
        done.last_sent,
        done.last_asked,
        done.last_refusal,
    )


def _spent(home: Path) -> dict[str, float]:
    """Epsilon by name of the study: the most that any data set of the site has spent of it."""
    from fedvox.client.ledger.places import places

    found = places(home)
    if not found:
        return {}
    from fedvox.client.ledger.summary import summarise
    from fedvox.client.ledger.verify import look

    spent: dict[str, float] = {}
    for place in found:
        for study in summarise(look(place), 0).studies:
            spent[study.name] = max(spent.get(study.name, 0.0), study.spent.epsilon)
    return spent
