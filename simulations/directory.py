"""The run directory: where a run begins, how it is gone on with, what is logged there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedvox.common import __version__
from fedvox.common.errors import InputError
from fedvox.common.files import writing
from fedvox.common.study import Study, load_study, study_hash

_WORK = ("rounds.jsonl", "model.safetensors")
"""Files that cost somebody time: a directory with one of them, or a fold with one, is a run."""


def new_folder(out: Path | None, name: str) -> Path:
    """The directory of a new run; an earlier run is never written over."""
    if out is None:
        return _numbered(Path("runs"), name)
    if any((folder / file).exists() for folder in (out, *out.glob("fold-*")) for file in _WORK):
        raise InputError(
            f"{out}: holds a run already; go on with it by --resume {out}, or choose another --out"
        )
    return out


def _numbered(parent: Path, name: str) -> Path:
    """Made here, so that of two runs begun at the same time each has its own."""
    folder, number = parent / name, 1
    with writing(parent, "do the same again, with another --out if need be"):
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1
                folder = parent / f"{name}-{number}"


def study_of(folder: Path) -> Path:
    """The study file of the run in `folder`."""
    if not (folder / "study.toml").is_file():
        raise InputError(f"{folder}: is not the directory of a run: it has no study.toml")
    return folder / "study.toml"


def require_same(study: Study, folder: Path) -> None:
    """InputError when the run in `folder` was begun with other settings."""
    if study_hash(load_study(study_of(folder))) != study_hash(study):
        raise InputError(
            f"{folder}: was begun with other settings; --resume takes only --engine, --workers and "
            "--baselines beside it"
        )
    _require_own(study, folder)


def _require_own(study: Study, folder: Path) -> None:
    """Of another release the same file may be another study, for its keys have other defaults."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        by, made = summary["study_sha256"], summary["versions"]["fedvox"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # there is none yet, or it was cut off; the checkpoints know for themselves
    if by != study_hash(study):
        raise InputError(
            f"{folder}: was begun by another version of fedvox ({made}; this is {__version__}), "
            "to which the same study file is another study; go on with that version, or begin anew"
        )


def log_of(folder: Path) -> Path:
    """Where sites and engines log."""
    return folder / "fedvox.log"


@contextmanager
def log_in(folder: Path) -> Iterator[None]:
    """What sites and engines log goes into the run directory, not onto the terminal."""
    handler = _Log(log_of(folder), delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("fedvox")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):
            handler.close()


class _Log(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A line that a full disk does not take is lost; what needs the disk will say so."""
