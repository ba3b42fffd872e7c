"""What a source of cases is, and how one is opened by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fedvox.common.errors import DataError, nearest
from fedvox.common.study.schema import Study
from fedvox.common.volume import CaseError, Volume

Suggestions = dict[str, dict[str, Any]]
"""Tables of a study file that yield to the file and the command line."""
Progress = Callable[[str, int, int], None]
"""File name, bytes so far, bytes in all (0: not known)."""

MATCHED_BY_NAME = ("msd", "medmnist")


@dataclass(frozen=True)
class CaseRef:
    """A case of a source, not yet read."""

    case: str
    patient: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a table beside the images, or the source itself, says of the case."""


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """Short, for reports; never a path."""

    def suggests(self) -> Suggestions:
        """Study tables that suit the data; `task.kind` is what the source delivers."""

    def cases(self) -> Sequence[CaseRef]:
        """All usable cases by name; no image is decoded."""

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """Cases that were found unusable while listing."""

    def fingerprint(self, ref: CaseRef) -> str:
        """Identity of what `load` would return."""

    def load(self, ref: CaseRef) -> Volume:
        """The case; CaseError where it cannot be used."""


def open_source(
    spec: str,
    study: Study,
    *,
    cache: Path | None = None,
    address: str = "",
    progress: Progress | None = None,
) -> Source:
    """The source that `spec` names: phantom, msd:NAME, medmnist:NAME, or a path.

    `study` says what is wanted of it (task, dimensions, and for phantoms how many). `cache` is
    where downloads are kept, `address` replaces the public one.
    """
    kind, colon, name = spec.partition(":")
    if spec == "phantom":
        from fedvox.simulations.sources.phantoms import PhantomSource

        return PhantomSource.of(study)
    if colon and kind in MATCHED_BY_NAME:
        from fedvox.simulations.sources import public

        found = public.obtain(kind, name, cache, address, progress)
        return _open_path(found, study)
    path = Path(spec).expanduser()
    if not path.exists():
        hint = nearest(kind if colon else spec, ("phantom", "msd:NAME", "medmnist:NAME", "a path"))
        raise DataError(f"data.source: {spec!r} is no file or folder here, and no source; {hint}")
    return _open_path(path, study)


def _open_path(path: Path, study: Study) -> Source:
    if path.is_dir():
        from fedvox.simulations.sources.folder import open_folder

        return open_folder(path, study)
    if path.suffix == ".npz":
        from fedvox.simulations.sources.medmnist import MedMnist

        return MedMnist(path)
    raise DataError(
        f"data.source: {path}: neither a folder nor a MedMNIST .npz; give an MSD folder "
        "(dataset.json), a folder with images/ and labels/, or an .npz"
    )
