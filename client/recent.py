"""Sites' newest states in memory: what was just written need not be read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from fedvox.common.arrays import Arrays

Groups = Mapping[str, Arrays]


class Recent:
    """States by their files, the ones used last, up to `limit_bytes` in all. For any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[Path, tuple[Groups, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, path: Path) -> Groups | None:
        """The state that was put for this file, if it is still here."""
        with self._lock:
            if path not in self._held:
                return None
            self._held.move_to_end(path)
            return self._held[path][0]

    def put(self, path: Path, groups: Groups) -> None:
        """Keeps the state, in place of those that were used longest ago."""
        size = sum(array.nbytes for arrays in groups.values() for array in arrays.values())
        with self._lock:
            self._drop(path)
            self._held[path] = (groups, size)
            self._bytes += size
            while self._bytes > self._limit:
                self._drop(next(iter(self._held)))

    def _drop(self, path: Path) -> None:
        _, size = self._held.pop(path, ({}, 0))
        self._bytes -= size
