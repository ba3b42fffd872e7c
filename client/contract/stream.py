"""Groups of bytes as a stream of chunks, and back; nothing is kept before its size was checked."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.heads import StreamError, TooLarge

Bytes = bytes | memoryview

PART_BYTES = 2 << 20
MOST_GROUPS = 8
MOST_GROUP_BYTES = 2 << 30
"""Of a group, where nothing smaller is asked for."""
_MOST_NAME = 64


def sizes_of(groups: Mapping[str, Bytes]) -> dict[str, int]:
    """Bytes of each group."""
    return {name: memoryview(data).nbytes for name, data in groups.items()}


def parts(groups: Mapping[str, Bytes]) -> Iterator[wire.Chunk]:
    """The chunks that follow a head."""
    for data in groups.values():
        view = memoryview(data).cast("B")
        for start in range(0, view.nbytes, PART_BYTES):
            yield wire.Chunk(part=bytes(view[start : start + PART_BYTES]))


def announced(groups: Iterable[wire.Group], most_bytes: int) -> dict[str, int]:
    """The sizes a head announces; TooLarge where one is over the limit."""
    sizes: dict[str, int] = {}
    for group in groups:
        if len(sizes) == MOST_GROUPS:
            raise StreamError(f"more than {MOST_GROUPS} groups")
        if not 0 < len(group.name) <= _MOST_NAME or group.name in sizes:
            raise StreamError("a group without a name of its own")
        if group.bytes > most_bytes:
            raise TooLarge(f"a group of more than {most_bytes} bytes")
        sizes[group.name] = group.bytes
    return sizes


def read_groups(sizes: Mapping[str, int], chunks: Iterator[wire.Chunk]) -> dict[str, bytes]:
    """The groups that were announced; StreamError where another number of bytes comes."""
    groups = {name: _read_group(size, chunks) for name, size in sizes.items()}
    if next(chunks, None) is not None:
        raise StreamError("more bytes than were announced")
    return groups


def _read_group(size: int, chunks: Iterator[wire.Chunk]) -> bytes:
    """Grows with what really comes: an announcement alone costs no memory."""
    buffer = io.BytesIO()
    while (missing := size - buffer.tell()) > 0:
        chunk = next(chunks, None)
        if chunk is None:
            raise StreamError("fewer bytes than were announced")
        part = chunk.part
        if not 0 < len(part) <= min(missing, PART_BYTES):
            raise StreamError("a part that is empty, too long or of two groups")
        buffer.write(part)
    return buffer.getvalue()  # the buffer itself: it is not copied
