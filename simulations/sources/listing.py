"""What lies in a folder: MSD layout (dataset.json), or images/ and labels/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.client.ingest.volumes.formats import stem
from fedvox.common.errors import DataError
from fedvox.simulations.sources.files import is_image


@dataclass(frozen=True)
class Entry:
    """An image and the label file that belongs to it, not yet looked at."""

    case: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class Listing:
    """The entries of a folder and what it says of them all."""

    entries: tuple[Entry, ...]
    labels: Mapping[int, str]
    """Names by value in the label files; empty where the folder does not say."""
    channels: int
    """0 where the folder does not say."""


def list_folder(folder: Path) -> Listing:
    """The images of a folder in either layout."""
    if (folder / "dataset.json").is_file():
        return _msd(folder)
    if (folder / "images").is_dir():
        return _plain(folder)
    raise DataError(
        f"data.source: {folder} holds neither dataset.json (MSD layout) nor images/ and labels/"
    )


def _msd(folder: Path) -> Listing:
    path = folder / "dataset.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
        training = told["training"]
        labels = {int(value): str(name) for value, name in told.get("labels", {}).items()}
        channels = len(told.get("modality", told.get("channel_names", {})))
        entries = [_msd_entry(folder, item) for item in training]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a dataset.json in MSD layout ({type(error).__name__}: {error}); it needs "
            "'training', a list of {image, label}, and 'labels', names by value"
        ) from None
    return Listing(tuple(sorted(entries, key=_by_case)), labels, channels)


def _msd_entry(folder: Path, item: Any) -> Entry:
    if isinstance(item, str):
        item = {"image": item}
    image = folder / item["image"]
    label = folder / item["label"] if item.get("label") else None
    return Entry(stem(image), image, label)


def _plain(folder: Path) -> Listing:
    labels: dict[str, Path] = {}
    if (folder / "labels").is_dir():
        labels = {stem(path): path for path in _images_in(folder / "labels")}
    images = _images_in(folder / "images")
    entries = [Entry(stem(path), path, labels.get(stem(path))) for path in images]
    return Listing(tuple(sorted(entries, key=_by_case)), {}, 0)


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image(path))


def _by_case(entry: Entry) -> tuple[str, str]:
    return entry.case, str(entry.image)
