"""The studies of a coordinator, on disk: what was proposed, by whom, and how far each has come.

DIR/studies/NAME/study.toml      the complete study
DIR/studies/NAME/record.json     its state; written by the coordinator process only
DIR/studies/NAME/progress.json   written by the process that conducts it
DIR/studies/NAME/run/            the run directory
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from fedvox.common.errors import InputError
from fedvox.common.files import write_json_atomic, write_text_atomic
from fedvox.common.study import Study, dump_study, load_study, study_hash


class State(StrEnum):
    """What becomes of a study."""

    PROPOSED = "proposed"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


ACTS = {
    "start": ({State.PROPOSED}, State.QUEUED),
    "pause": ({State.QUEUED, State.RUNNING}, State.PAUSED),
    "resume": ({State.PAUSED, State.FAILED}, State.QUEUED),
    "stop": ({*State} - {State.DONE, State.STOPPED}, State.STOPPED),
}
"""What an operator may do: from which states, and to which."""


@dataclass(frozen=True)
class Record:
    """What is known of a study."""

    name: str
    study_sha256: str
    state: State
    by: str
    """Who proposed it."""
    proposed_at: str
    changed_at: str
    sites: tuple[str, ...] = ()
    """Who takes part; empty: every site of the consortium when it is first conducted."""
    problem: str = ""
    """Why it failed, or does not get on."""
    excluded: tuple[str, ...] = ()
    """Who took part until the site was revoked."""


class Studies:
    """The studies under a coordinator's folder. One of them for all threads that change records."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "studies"
        self._lock = threading.RLock()

    def folder(self, name: str) -> Path:
        """Where everything of a study lies."""
        return self._folder / name

    def run_folder(self, name: str) -> Path:
        """Where it is conducted, as `fedvox simulate` would."""
        return self.folder(name) / "run"

    def study(self, name: str) -> Study:
        """The study itself."""
        return load_study(self.folder(name) / "study.toml")

    def propose(self, study: Study, by: str, sites: tuple[str, ...] = ()) -> Record:
        """Takes a new study; InputError where another has its name."""
        name, sha256 = study.study.name, study_hash(study)
        folder = self.folder(name)
        if folder.exists() and (folder / "record.json").exists():
            before = self.get(name)
            if before.study_sha256 == sha256 and before.sites == sites:
                return before  # the same proposal again
            raise InputError(
                f"a study named {name!r} was proposed before with other settings; give this one "
                "another study.name"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / "study.toml", dump_study(study))
        record = Record(name, sha256, State.PROPOSED, by, _now(), _now(), sites)
        self._write(record)
        return record

    def get(self, name: str) -> Record:
        """The record of a study; InputError where there is none of the name."""
        path = self.folder(name) / "record.json"
        known = not name.startswith(".") and not {"/", "\0"} & {*name}
        if not known or not path.exists():
            names = ", ".join(record.name for record in self.all()) or "none"
            raise InputError(f"there is no study {name!r}; there are: {names}")
        return _read(path)

    def all(self) -> list[Record]:
        """All studies, the oldest proposal first; one whose record is damaged is left out."""
        found = [record for _, record in self._found() if isinstance(record, Record)]
        return sorted(found, key=lambda record: (record.proposed_at, record.name))

    def damaged(self) -> list[str]:
        """What keeps studies from being read, in words."""
        return [str(error) for _, error in self._found() if isinstance(error, InputError)]

    def _found(self) -> Iterator[tuple[Path, Record | InputError]]:
        for path in self._folder.glob("*/record.json"):
            try:
                yield path, _read(path)
            except InputError as error:
                yield path, error

    def act(self, name: str, act: str) -> Record:
        """Does what an operator asked for; InputError where the state does not allow it."""
        with self._lock:
            record = self.get(name)
            sources, target = ACTS[act]
            if record.state not in sources:
                raise InputError(f"study {name!r} is {record.state}; it cannot be asked to {act}")
            return self.set(record, state=target, problem="")

    def readmit(self, name: str, members: Collection[str]) -> tuple[str, ...]:
        """Sites that were revoked and have joined again take part again; who they are."""
        with self._lock:
            record = self.get(name)
            back = tuple(site for site in record.excluded if site in members)
            if not record.sites and record.excluded and not back:
                raise InputError(
                    f"all sites of study {name!r} were revoked ({', '.join(record.excluded)}); "
                    "invite one again first, and have it join"
                )
            if back:
                sites = tuple(sorted({*record.sites, *back}))
                left = tuple(site for site in record.excluded if site not in back)
                self.set(record, sites=sites, excluded=left)
            return back

    def set(self, record: Record, **changes: Any) -> Record:
        """Writes a changed record, unless its state was changed meanwhile; the record as it is."""
        with self._lock:
            current = self.get(record.name)
            if current.state is not record.state:
                return current
            changed = replace(current, changed_at=_now(), **changes)
            self._write(changed)
            return changed

    def progress(self, name: str) -> dict[str, Any]:
        """What the conducting process last wrote; empty before it has."""
        try:
            told: dict[str, Any] = json.loads((self.folder(name) / "progress.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return told

    def _write(self, record: Record) -> None:
        write_json_atomic(self.folder(record.name) / "record.json", asdict(record))


def _read(path: Path) -> Record:
    """The record in a file; InputError where it is damaged."""
    try:
        told = json.loads(path.read_text())
        lists = {name: tuple(told.get(name, ())) for name in ("sites", "excluded")}
        return Record(**{**told, **lists, "state": State(told["state"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}); restore it from a backup, or move "
            "the study's folder away"
        ) from None


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
