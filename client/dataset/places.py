"""Where a site's datasets are on disk.

HOME/data/NAME/manifest.sqlite          cases, versions, what was set aside
HOME/data/NAME/cases/KK/KEY.safetensors one case: voxels, label, geometry; never changed
HOME/data/NAME/prepared/CONTRACT/...    cases as a study's contract wants them; can be made again
HOME/data/NAME/.lock                    imports hold it together, a withdrawal alone
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.errors import DataError, InputError, nearest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Place:
    """Where one dataset is."""

    home: Path
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                "a dataset's name is made of letters, digits, dot, dash and underscore, at most 64"
            )

    @property
    def folder(self) -> Path:
        """All that is of the dataset."""
        return self.home / "data" / self.name

    @property
    def manifest(self) -> Path:
        """The database."""
        return self.folder / "manifest.sqlite"

    @property
    def cases(self) -> Path:
        """Where the cases' files are."""
        return self.folder / "cases"

    @property
    def prepared(self) -> Path:
        """Where prepared cases are kept for training."""
        return self.folder / "prepared"

    def case(self, key: str) -> Path:
        """The file of a case."""
        return self.cases / key[:2] / f"{key}{_SUFFIX}"

    def case_files(self) -> list[Path]:
        """Every file under the cases' folder, whole or not."""
        return [path for path in self.cases.glob("*/*") if path.is_file()]


def datasets(home: Path) -> list[Place]:
    """Every dataset of a site."""
    found = sorted(path.parent.name for path in home.glob("data/*/manifest.sqlite"))
    return [Place(home, name) for name in found if _NAME.fullmatch(name)]


def existing(home: Path, name: str) -> Place:
    """The place of a dataset that is there; DataError where it is not."""
    place = Place(home, name)
    if not place.manifest.is_file():
        known = [other.name for other in datasets(home)]
        hint = nearest(name, known) if known else "there is none yet; make it with site ingest"
        raise DataError(f"{home}: no dataset {name!r}; {hint}")
    return place


def key_of(path: Path) -> str:
    """The case that a file is of; empty for what is no case's file."""
    return path.name.removesuffix(_SUFFIX) if path.suffix == _SUFFIX else ""
