"""Where received objects wait for the ingest: durable before they are acknowledged.

HOME/pacs/DATASET/USE/arriving/       objects on their way; whoever starts anew removes them
HOME/pacs/DATASET/USE/studies/S/R/    whole objects of series R of study S
HOME/pacs/DATASET/USE/taken/S.N/R/    those that are being ingested

USE is `listen` or `pull`. No name here was taken from the network: S and R are made with the site's
key, and an object is named by its content, so that one which is sent twice is there once.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fedvox.client.dataset.places import Place
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.ingest.reading.elements import Damaged
from fedvox.client.ingest.reading.header import Header, read_header
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.pacs.part import Limits, Part
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.common.errors import RunInUseError
from fedvox.common.files import RunLock, sync_folder, writing
from fedvox.common.identity.secret_files import make_private_folder


@dataclass(frozen=True)
class Stored:
    """An object that is durably here, by tokens."""

    study: str
    series: str
    object: str


Accept = Callable[[str, str], bool]
"""Whether an object of (study token, series token) is wanted."""


class Spool:
    """One process's spool for one dataset. Use it as a context manager; threads may share it."""

    def __init__(self, home: Path, dataset: str, use: str, limits: Limits | None = None) -> None:
        self.folder = home / "pacs" / Place(home, dataset).name / use
        self._key = SiteKey.of(home)
        self._limits = limits or Limits()
        self._lock = RunLock(self.folder)
        self._changing = threading.Lock()

    def __enter__(self) -> Self:
        for folder in (self.folder.parent.parent, self.folder.parent, self.folder):
            make_private_folder(folder)
        try:
            self._lock.acquire()
        except RunInUseError:
            raise RunInUseError(
                f"{self.folder}: another process is at this work for this dataset; wait for it to "
                "end, or stop it"
            ) from None
        with writing(self.arriving):
            shutil.rmtree(self.arriving, ignore_errors=True)
        for folder in (self.arriving, self._studies, self._taken):
            make_private_folder(folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    @property
    def arriving(self) -> Path:
        """Where objects are written while they come."""
        return self.folder / "arriving"

    @property
    def _studies(self) -> Path:
        return self.folder / "studies"

    @property
    def _taken(self) -> Path:
        return self.folder / "taken"

    def begin(self) -> Part:
        """A file for an object that begins to come."""
        return Part(self.arriving, self._limits)

    def study_token(self, uid: str) -> str:
        """What stands for a study here and in logs."""
        return self._key.token("pacs study", uid)[:24]

    def series_token(self, uid: str) -> str:
        """What stands for a series here and in logs."""
        return self._key.token("pacs series", uid)[:24]

    def store(self, part: Part, accept: Accept = lambda study, series: True) -> Stored:
        """Makes an object that came whole durable, or drops it with the reason (Unfetched)."""
        try:
            part.finish()
            study, series = self._whose(part.path)
            if not accept(study, series):
                raise Unfetched(Reason.NOT_ASKED_FOR)
            return self._keep(part, study, series)
        except OSError as error:
            raise Unfetched(Reason.NO_SPACE) from error
        finally:
            part.drop()

    def _whose(self, path: Path) -> tuple[str, str]:
        try:
            header: Header = read_header(path)
        except (Damaged, ValueError, IndexError, OverflowError, MemoryError, RecursionError):
            raise Unfetched(Reason.BROKEN) from None
        study, series = header.text(Tag.STUDY_UID), header.text(Tag.SERIES_UID)
        if not study or not series:
            raise Unfetched(Reason.BROKEN)
        return self.study_token(study), self.series_token(series)

    def _keep(self, part: Part, study: str, series: str) -> Stored:
        name = part.sha256[:32]
        with self._changing:  # the study is not taken away while the object is put into it
            folder = self._studies / study / series
            for made in (folder.parent, folder):
                if not made.is_dir():
                    made.mkdir(mode=0o700)
                    sync_folder(made.parent)
            part.path.replace(folder / f"{name}.dcm")
            sync_folder(folder)
        return Stored(study, series, name)

    def studies(self) -> list[str]:
        """Studies of which anything waits to be taken."""
        return sorted(path.name for path in self._studies.iterdir())

    def series(self, study: str) -> list[str]:
        """Series of a study of which anything waits to be taken."""
        return sorted(path.name for path in (self._studies / study).iterdir())

    def take(self, study: str) -> Path:
        """Sets a study apart for the ingest; what comes for it now waits anew."""
        with self._changing:
            used = [int(path.suffix[1:]) for path in self._taken.glob(f"{study}.*")]
            target = self._taken / f"{study}.{max(used, default=0) + 1}"
            (self._studies / study).replace(target)
            sync_folder(self._taken)
            sync_folder(self._studies)
        return target

    def taken(self) -> list[Path]:
        """What was set apart and is not done yet."""
        return sorted(self._taken.iterdir())

    def done(self, taken: Path) -> None:
        """Removes what was ingested."""
        with writing(taken):
            shutil.rmtree(taken)
            sync_folder(self._taken)

    def drop_series(self, study: str, series: str) -> None:
        """Removes what came of a series that did not come whole."""
        with self._changing:
            shutil.rmtree(self._studies / study / series, ignore_errors=True)
            if (self._studies / study).is_dir() and not any((self._studies / study).iterdir()):
                (self._studies / study).rmdir()


def study_of(taken: Path) -> str:
    """The token of the study that was set apart as `taken`."""
    return taken.stem
