"""A folder of DICOM files into a folder of de-identified ones."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.deid.instance import Instance, deidentified
from fedvox.client.deid.profile import SPOKEN, Action, Options
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.ingest.reasons import Quarantined
from fedvox.common.errors import InputError
from fedvox.common.files import write_json_atomic, writing

REPORT = "deid-report.json"


@dataclass
class Report:
    """What was done, in numbers; fit to be handed on with the files."""

    options: Options
    files_read: int = 0
    files_written: int = 0
    repeated: int = 0
    """Copies of an instance that was there already."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason -> files that were not passed on."""
    actions: Counter[str] = field(default_factory=Counter)
    """Action -> attributes."""
    unreadable: int = 0
    """Attributes that were removed because their values made no sense."""

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "profile": "DICOM PS3.15 Basic Application Level Confidentiality Profile",
            "options": asdict(self.options),
            "files_read": self.files_read,
            "files_written": self.files_written,
            "repeated": self.repeated,
            "refused": dict(sorted(self.refused.items())),
            "unreadable": self.unreadable,
            "actions": {SPOKEN[Action(one)]: self.actions[one] for one in sorted(self.actions)},
        }


def deidentify_folder(source: Path, target: Path, key: SiteKey, options: Options) -> Report:
    """Writes de-identified copies of all DICOM files under `source`, and a report beside them."""
    source, target = source.resolve(), target.resolve()
    if not source.exists():
        raise InputError(f"{source}: not there; name the folder with the DICOM files")
    if target == source or source in target.parents or target in source.parents:
        raise InputError("DST must lie outside SRC: what is de-identified is kept apart")
    report = Report(options)
    with writing(target):
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in _files(source):
        report.files_read += 1
        try:
            made = deidentified(path, key, options)
            _write(target / made.name, made, report)
        except Quarantined as reason:
            report.refused[str(reason.reason)] += 1
    write_json_atomic(target / REPORT, report.as_plain())
    return report


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _write(path: Path, made: Instance, report: Report) -> None:
    from fedvox.client.ingest.reasons import Reason

    if path.exists():
        report.repeated += 1
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        draft = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                try:
                    made.dataset.save_as(file, enforce_file_format=True)
                except OSError:
                    raise
                except Exception as error:  # values that no writer can encode
                    raise Quarantined(Reason.UNREADABLE, type(error).__name__) from None
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    report.files_written += 1
    report.actions += made.counts
    report.unreadable += made.unreadable
