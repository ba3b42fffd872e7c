"""Prepared cases on disk: computed once for a data contract, read back as memory maps."""

from __future__ import annotations

import os
import resource
import tempfile
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np

from fedvox.common.arrays import Array
from fedvox.common.codec import CodecError, encode, mapped
from fedvox.common.errors import ResourceError
from fedvox.common.tasks.task import Prepared

_MOST_MAPS = 4096


def _open_maps() -> int:
    """How many cases are kept mapped: each takes one of the files that the process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_MAPS if files == resource.RLIM_INFINITY else min(_MOST_MAPS, files // 4)


class Store:
    """Cases under `folder`, one file each, for one data contract."""

    def __init__(self, folder: Path, contract: str) -> None:
        self.folder = folder / contract[:24]
        self._open: OrderedDict[str, Prepared] = OrderedDict()
        self._lock = Lock()
        self._open_maps = _open_maps()

    def __contains__(self, key: str) -> bool:
        try:
            self.get(key)
        except (OSError, CodecError):
            return False
        return True

    def get(self, key: str) -> Prepared:
        """The case as a memory map."""
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            case = _read(self._path(key))
            self._open[key] = case
            if len(self._open) > self._open_maps:
                self._open.popitem(last=False)
            return case

    def put(self, key: str, case: Prepared) -> None:
        """Writes the case; a file that is there is whole."""
        path = self._path(key)
        arrays: dict[str, Array] = {
            "image": case.image,
            "label": case.label,
            "foreground": case.foreground,
            "spacing": np.asarray(case.spacing, dtype=np.float64),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(encode(arrays))
                Path(draft).replace(path)
            finally:
                Path(draft).unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{path.parent}: prepared images cannot be written: {error.strerror}; "
                "free space there, or set FEDVOX_CACHE to another folder"
            ) from None

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def cache_folder() -> Path:
    """Where fedvox keeps what can be made again."""
    if own := os.environ.get("FEDVOX_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedvox"


def _read(path: Path) -> Prepared:
    arrays = mapped(path)
    try:
        spacing = tuple(float(mm) for mm in arrays["spacing"])
        return Prepared(arrays["image"], arrays["label"], spacing, arrays["foreground"])
    except KeyError as error:
        raise CodecError(f"{path}: no {error} in it") from None
