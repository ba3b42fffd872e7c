"""Public data sets by name, kept in the user's cache."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path

from fedvox.common.errors import DataError, ResourceError, nearest
from fedvox.simulations.sources import medmnist_sets
from fedvox.simulations.sources.download import PublicFile, fetch
from fedvox.simulations.sources.source import Progress

MSD_ADDRESS = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
MSD_MD5 = {
    "Task01_BrainTumour": "240a19d752f0d9e9101544901065d872",
    "Task02_Heart": "06ee59366e1e5124267b774dbd654057",
    "Task03_Liver": "a90ec6c4aa7f6a3d087205e23d4e6397",
    "Task04_Hippocampus": "9d24dba78a72977dbd1d2e110310f31b",
    "Task05_Prostate": "35138f08b1efaef89d7424d2bcc928db",
    "Task06_Lung": "8afd997733c7fc0432f71255ba4e52dc",
    "Task07_Pancreas": "4f7080cfca169fa8066d17ce6eb061e4",
    "Task08_HepaticVessel": "641d79e80ec66453921d997fbf12a29c",
    "Task09_Spleen": "410d4a301da4e5b2f6f86ec3ddba524e",
    "Task10_Colon": "bad7a188931dc2f6acf72b08eb6202d0",
}
"""Sums of the archives as published."""


def obtain(
    kind: str, name: str, cache: Path | None, address: str, progress: Progress | None
) -> Path:
    """Where a public set lies, fetched first if it is not there."""
    folder = cache or _default_cache()
    if kind == "msd":
        return _msd(name, folder / "msd", address or MSD_ADDRESS, progress)
    return _medmnist(name, folder / "medmnist", address or medmnist_sets.ADDRESS, progress)


def _msd(name: str, folder: Path, address: str, progress: Progress | None) -> Path:
    if name not in MSD_MD5:
        raise DataError(f"data.source: msd:{name}: unknown task; {nearest(name, MSD_MD5)}")
    place = folder / name
    if not (place / "dataset.json").is_file():
        by_hand = f"{name}.tar, or the extracted folder {name},"
        target = folder / f"{name}.tar"
        file = PublicFile(f"{address}/{name}.tar", target, MSD_MD5[name], by_hand)
        _extract(fetch(file, progress), name, place)
    return place


def _extract(archive: Path, name: str, place: Path) -> None:
    """Unpacks beside the place and moves it there whole."""
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as draft:
            with tarfile.open(archive) as tar:
                tar.extractall(draft, filter="data")
            unpacked = Path(draft) / name
            if not (unpacked / "dataset.json").is_file():
                raise DataError(f"{archive}: holds no {name}/dataset.json; remove it and try again")
            if place.exists():
                raise DataError(f"{place}: holds no dataset.json; remove it and try again")
            unpacked.replace(place)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); remove it and try again"
        ) from None
    except OSError as error:
        raise ResourceError(
            f"{archive.parent}: {name} cannot be unpacked: {error.strerror}; free space there, or "
            "set FEDVOX_CACHE to another folder"
        ) from None


def _medmnist(name: str, folder: Path, address: str, progress: Progress | None) -> Path:
    found = re.fullmatch(r"(\w+?)(?:_(\d+))?", name)
    base, size = (found[1], int(found[2] or 28)) if found else (name, 28)
    if base not in medmnist_sets.SETS:
        hint = nearest(base, medmnist_sets.SETS)
        raise DataError(f"data.source: medmnist:{name}: unknown or multi-label set; {hint}")
    sums = medmnist_sets.SETS[base].md5
    if size not in sums:
        sizes = ", ".join(map(str, sums))
        raise DataError(f"data.source: medmnist:{name}: {base} is published in sizes {sizes}")
    file_name = f"{base}.npz" if size == 28 else f"{base}_{size}.npz"
    url = f"{address}/{file_name}"
    return fetch(PublicFile(url, folder / file_name, sums[size], file_name), progress)


def _default_cache() -> Path:
    from fedvox.client.store import cache_folder

    return cache_folder()
