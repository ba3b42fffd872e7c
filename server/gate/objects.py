"""Flower's objects: who refers to whom is kept in memory, and what the large ones hold in files."""

from __future__ import annotations

from pathlib import Path

from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

from fedvox.common.identity.secret_files import make_private_folder

_SMALL_BYTES = 64 << 10
"""What is smaller stays in memory."""
_ELSEWHERE = b"in a file"


class FileObjects(InMemoryObjectStore):
    """Keeps the memory of the process small, however many models are on their way.

    Nothing need survive the process, so nothing is written through to the disk.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(verify=False)  # names are checked before, without holding a lock
        make_private_folder(folder)
        self._folder = folder
        self._sizes: dict[str, int] = {}
        for left in folder.iterdir():
            left.unlink()

    @property
    def file_bytes(self) -> int:
        """How much lies in files."""
        return sum(list(self._sizes.values()))

    def is_in_file(self, object_id: str) -> bool:
        """Whether it takes the disk to get an object."""
        return object_id in self._sizes

    def put(self, object_id: str, object_content: bytes) -> None:
        """Keeps what an object holds; OSError where the disk is full."""
        known = self.store.get(object_id)
        if known is None or known.is_available or len(object_content) <= _SMALL_BYTES:
            super().put(object_id, object_content)
            return
        path = self._folder / object_id
        try:
            path.write_bytes(object_content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._sizes[object_id] = len(object_content)
        super().put(object_id, _ELSEWHERE)

    def get(self, object_id: str) -> bytes | None:
        """What an object holds; None where it is not known."""
        content: bytes | None = super().get(object_id)
        return (self._folder / object_id).read_bytes() if content is _ELSEWHERE else content

    def delete(self, object_id: str) -> None:
        """Removes an object that nothing refers to, and what only it refers to."""
        super().delete(object_id)
        if object_id in self._sizes and object_id not in self.store:
            del self._sizes[object_id]
            (self._folder / object_id).unlink()

    def clear(self) -> None:
        """Removes everything."""
        super().clear()
        for name in list(self._sizes):
            (self._folder / name).unlink(missing_ok=True)
        self._sizes.clear()
