"""Opening a source by what `data.source` says."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from fedvox.common.errors import DataError
from fedvox.common.study.schema import Study
from fedvox.simulations.sources.source import Progress, Source

_PUBLIC = ("msd", "medmnist")


def open_source(
    spec: str,
    study: Study,
    *,
    cache: Path | None = None,
    address: str = "",
    progress: Progress | None = None,
) -> Source:
    """The source that `spec` names: phantom, msd:NAME, medmnist:NAME, store:HOME/NAME, or a path.

    `study` says what is wanted of it (task, dimensions, and for phantoms how many). `cache` is
    where downloads are kept, `address` replaces the public one.
    """
    kind, colon, name = spec.partition(":")
    if spec == "phantom":
        from fedvox.simulations.sources.phantoms import PhantomSource

        return PhantomSource.of(study)
    if colon and kind in _PUBLIC:
        from fedvox.simulations.sources import public

        found = public.obtain(kind, name, cache, address, progress)
        return _open_path(found, study)
    if colon and kind == "store":
        from fedvox.simulations.sources.store import open_store

        return open_store(name, study)
    path = Path(spec).expanduser()
    if not path.exists():
        known = {"phantom": "phantom", "store": "store:HOME/NAME"}
        known |= {name: f"{name}:NAME" for name in _PUBLIC}
        close = get_close_matches(kind, known, n=1)
        hint = f"did you mean {known[close[0]]!r}?" if close else f"{', '.join(known.values())}"
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
