"""Ledgers for tests: works, caps, and the file opened behind the ledger's back."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.places import Place
from fedvox.client.ledger.versions import open_ledger
from fedvox.client.ledger.work import Caps, Released, Reservation, Work, WorkId
from fedvox.common.privacy.charge import Charge

CAPS = Caps(study_epsilon=8.0, life_epsilon=12.0, delta=1e-3, least_noise=0.5)
WIDE = Caps(study_epsilon=1e4, life_epsilon=1e4, delta=1e-3)


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def work(
    round_number: int = 1,
    study: str = "brain",
    noise: float = 1.0,
    steps: int = 30,
    rate: float = 0.1,
    delta: float = 1e-3,
) -> Work:
    which = WorkId(sha(study), round_number, sha((study, round_number)))
    return Work(which, study, Charge(rate, noise, steps), clip_norm=1.0, delta=delta)


def opened(home: Path, caps: Caps = CAPS, version: str = "v1") -> Ledger:
    return open_ledger(home, "hippocampus", version, caps)


def place(home: Path, version: str = "v1") -> Place:
    return Place(home, "hippocampus", version)


def reserved(ledger: Ledger, asked: Work) -> Reservation:
    answer = ledger.reserve(asked)
    assert isinstance(answer, Reservation)
    return answer


def released(ledger: Ledger, asked: Work) -> Released:
    answer = ledger.reserve(asked)
    assert isinstance(answer, Released)
    return answer


def rows(home: Path, version: str = "v1") -> list[sqlite3.Row]:
    """Every row, as any program can read it."""
    with closing(sqlite3.connect(place(home, version).rows)) as connection:
        connection.row_factory = sqlite3.Row
        return list(connection.execute("SELECT * FROM entries ORDER BY sequence"))


def kinds(home: Path, version: str = "v1") -> list[str]:
    return [row["kind"] for row in rows(home, version)]


@contextmanager
def tampering(home: Path, version: str = "v1") -> Iterator[sqlite3.Connection]:
    """The database without what protects it from changes."""
    with closing(sqlite3.connect(place(home, version).rows)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for (name,) in list(
            connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
        ):
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.commit()
