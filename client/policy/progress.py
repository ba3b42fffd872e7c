"""What was done for each study and what has left: HOME/studies/HASH.progress, HOME/run/now.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvox.common.files import write_json_atomic, writing


@dataclass(frozen=True)
class Progress:
    """One study, as far as it has come here."""

    rounds: int = 0
    """Rounds trained and answered."""
    last_round: int = 0
    answers: int = 0
    """Answers given, of all kinds; those given again count again."""
    bytes_sent: int = 0
    last_sent: str = ""
    last_asked: str = ""
    last_refusal: str = ""
    """Code of the refusal that was the last answer; empty: it was none."""


@dataclass(frozen=True)
class Now:
    """What the trainer does at this moment."""

    pid: int
    started: str
    site: str = ""
    data: str = ""
    study: str = ""
    """Empty: nothing."""
    study_sha256: str = ""
    kind: str = ""
    round: int = 0
    since: str = ""
    waiting: int = 0

    @property
    def is_running(self) -> bool:
        """Whether the process that wrote this is there."""
        with suppress(OSError):
            return b"fedvox" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return False


def progress_of(home: Path, study_sha256: str) -> Progress:
    """How far the study has come; nothing where that was never written or cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return Progress(**json.loads(_path(home, study_sha256).read_text()))
    return Progress()


def note_answer(
    home: Path, study_sha256: str, kind: str, round_number: int, sent: int, refusal: str
) -> None:
    """Counts an answer. For one thread of one process."""
    before, now = progress_of(home, study_sha256), timestamp()
    after = replace(before, last_asked=now, last_refusal=refusal)
    if not refusal:
        trained = kind == "train" and round_number > before.last_round
        after = replace(
            after,
            rounds=before.rounds + trained,
            last_round=round_number if trained else before.last_round,
            answers=before.answers + 1,
            bytes_sent=before.bytes_sent + sent,
            last_sent=now,
        )
    path = _path(home, study_sha256)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json_atomic(path, asdict(after))


def now_of(home: Path) -> Now | None:
    """What the trainer said last; None where it never did."""
    with suppress(OSError, ValueError, TypeError):
        return Now(**json.loads((home / "run" / "now.json").read_text()))
    return None


def write_now(home: Path, now: Now) -> None:
    """Says what the trainer does; not kept past a power loss, which ends that as well."""
    write_passing(home / "run" / "now.json", asdict(now))


def write_passing(path: Path, told: Mapping[str, Any]) -> None:
    """Writes an object that need not outlive the machine; whoever reads finds it whole."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with writing(path):
        temporary.write_text(json.dumps(told) + "\n")
        temporary.replace(path)


def timestamp() -> str:
    """The time in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _path(home: Path, study_sha256: str) -> Path:
    return home / "studies" / f"{study_sha256}.progress"
