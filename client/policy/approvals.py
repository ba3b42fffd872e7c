"""HOME/studies: every study that ever asked, and what was decided about it.

One file a study, named by its hash: what is approved is that text to the letter, and another rate
or round makes it another study that waits anew.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from fedvox.client.policy.recording import Recorder
from fedvox.common.errors import InputError, Refusal, ResourceError, SiteError, nearest
from fedvox.common.files import write_json_atomic, writing
from fedvox.common.study import Study, dump_study, study_hash

BY_POLICY = "policy"
_MOST_WAITING = 200
"""A coordinator cannot fill the disk with studies that nobody asked for."""
_SHORTEST = 4


class State(StrEnum):
    """How a study stands at this site."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    PAUSED = "paused"
    STOPPED = "stopped"


class Decision(StrEnum):
    """What a person can decide."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


_LEADS_TO: Mapping[Decision, tuple[frozenset[State], State]] = {
    Decision.APPROVE: (frozenset(State), State.APPROVED),
    Decision.REJECT: (frozenset({State.WAITING}), State.REJECTED),
    Decision.PAUSE: (frozenset({State.APPROVED}), State.PAUSED),
    Decision.RESUME: (frozenset({State.PAUSED, State.STOPPED}), State.APPROVED),
    Decision.STOP: (frozenset(State) - {State.REJECTED}, State.STOPPED),
}
_REFUSED = {
    State.WAITING: Refusal.WAITING,
    State.REJECTED: Refusal.STOPPED,
    State.PAUSED: Refusal.PAUSED,
    State.STOPPED: Refusal.STOPPED,
}


@dataclass(frozen=True)
class Record:
    """One study at this site."""

    study_sha256: str
    name: str
    study: str
    """The study file."""
    first_seen: str
    state: State = State.WAITING
    by: str = ""
    """Who decided; `policy` where nobody had to."""
    decided: str = ""
    """When."""

    @property
    def refusal(self) -> Refusal | None:
        """What the study is told while it stands so; None: it may run."""
        return _REFUSED.get(self.state)


class Approvals:
    """The records under a site's home. For any number of threads and processes."""

    def __init__(self, home: Path, recorder: Recorder) -> None:
        self._folder = home / "studies"
        self._recorder = recorder

    def seen(self, study: Study, admitted: bool) -> Record:
        """How a study that asks stands; begun where it never asked before.

        A study that only the policy had admitted waits again when the policy no longer does.
        """
        digest = study_hash(study)
        record = self.find_exactly(digest)
        if record is not None and (record.state, record.by) not in _OPEN:
            return record
        with self._alone():
            record = self.find_exactly(digest) or self._begun(study, digest)
            wanted = (State.APPROVED, BY_POLICY) if admitted else (State.WAITING, "")
            if (record.state, record.by) in _OPEN and (record.state, record.by) != wanted:
                record = self._decided(record, *wanted)
            return record

    def decide(self, needle: str, decision: Decision, by: str) -> Record:
        """Writes down a person's decision about the study with this name or hash."""
        allowed, state = _LEADS_TO[decision]
        with self._alone():
            record = self.find(needle)
            if record.state == state and record.by != BY_POLICY:
                return record  # decided before; whoever says it twice means it once
            if record.state not in allowed:
                raise InputError(
                    f"study {record.name} is {record.state}; it cannot be told to {decision}. See "
                    "`fedvox site studies`"
                )
            return self._decided(record, state, by)

    def records(self) -> list[Record]:
        """All of them, the newest first."""
        paths = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        return sorted(map(_read, paths), key=lambda record: record.first_seen, reverse=True)

    def find_exactly(self, digest: str) -> Record | None:
        """The record of the study with this hash."""
        path = self._path(digest)
        return _read(path) if path.exists() else None

    def find(self, needle: str) -> Record:
        """The study with this name, or whose hash begins so; InputError unless it is one."""
        records = self.records()
        found = [record for record in records if record.name == needle]
        if not found and len(needle) >= _SHORTEST:
            found = [record for record in records if record.study_sha256.startswith(needle)]
        if len(found) == 1:
            return found[0]
        if found:
            which = ", ".join(f"{record.study_sha256[:12]} ({record.state})" for record in found)
            raise InputError(f"{needle!r} are several studies: {which}; name one by its hash")
        hint = nearest(needle, {record.name for record in records}) if records else "none has asked"
        raise InputError(f"no study {needle!r} has asked here; {hint}")

    def _begun(self, study: Study, digest: str) -> Record:
        waiting = sum(record.state is State.WAITING for record in self.records())
        if waiting >= _MOST_WAITING:
            raise SiteError(Refusal.WAITING, f"{waiting} studies wait already; this one is dropped")
        record = Record(digest, study.study.name, dump_study(study), _now())
        write_json_atomic(self._path(digest), asdict(record))
        self._recorder("study-seen", {"study": record.name, "study_sha256": digest})
        return record

    def _decided(self, record: Record, state: State, by: str) -> Record:
        record = replace(record, state=state, by=by, decided=_now())
        about = {"study": record.name, "study_sha256": record.study_sha256}
        self._recorder("study-decided", {**about, "state": str(state), "by": by})
        write_json_atomic(self._path(record.study_sha256), asdict(record))
        return record

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else decides meanwhile."""
        path = self._folder / ".lock"
        with writing(path):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_OPEN = {(State.WAITING, ""), (State.APPROVED, BY_POLICY)}
"""Nobody has decided."""


def stopped(home: Path, digest: str) -> Callable[[], bool]:
    """Tells whether a person has stopped or rejected the study by now."""
    path = home / "studies" / f"{digest}.json"
    last: tuple[int, bool] = (0, False)

    def look() -> bool:
        nonlocal last
        try:
            changed = path.stat().st_mtime_ns
            if changed != last[0]:
                last = (changed, _read(path).state in (State.STOPPED, State.REJECTED))
        except (OSError, ResourceError):
            return True  # what nobody can say was approved
        return last[1]

    return look


def _read(path: Path) -> Record:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{**plain, "state": State(plain["state"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResourceError(
            f"{path}: cannot be read ({type(error).__name__}); restore it from a backup, or remove "
            "it: the study then waits for approval again"
        ) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
