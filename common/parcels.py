"""Flower messages as its content-addressed objects, and back, with each tensor's bytes held once.

An object is `TYPE ID,ID,... LENGTH\\0BODY` and is named by the SHA-256 of that. Objects refer to
others by name: a message to its content, that to its records, an array to chunks of 5 MiB. Flower
has code for this that holds a large model three or four times over; here chunks are views of what
is sent, and what comes in is put in its place as it arrives. Tests hold this against Flower's own.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from google.protobuf.message import DecodeError

from fedvox.common.codec import CodecError

CHUNK_BYTES = 5 << 20
"""Of an array's bytes in one object, as Flower cuts them."""
HEAD_DEPTH = 3
"""Message 0, content 1, records 2, arrays 3: what lies deeper are chunks."""

_UNREADABLE = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, DecodeError, RecursionError,
)  # fmt: skip
Fetch = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]
"""Gets objects by name, in any order."""
Chunks = Iterator[tuple[int, memoryview]]
"""Pieces of an array, and where they begin."""
Keep = Callable[[Chunks], bytes | mmap]
"""Puts the pieces of an array together."""

_made: Any = Message
"""With metadata, as Flower itself makes one; its annotations do not tell of it."""


@dataclass(frozen=True)
class Node:
    """An object's name and what it refers to."""

    name: str
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Parcel:
    """A message as objects, ready to be sent."""

    root: Node
    parts: Mapping[str, tuple[bytes, memoryview]] = field(repr=False)
    """Name -> what goes before the body, and the body."""

    def content(self, name: str) -> bytes:
        """An object as it travels."""
        return b"".join(self.parts[name])

    def size(self, name: str) -> int:
        """Bytes of an object."""
        head, body = self.parts[name]
        return len(head) + body.nbytes


def pack(messages: Sequence[Message]) -> list[Parcel]:
    """The messages as objects; a content that several share is packed once."""
    contents: dict[int, tuple[Node, dict[str, tuple[bytes, memoryview]]]] = {}
    parcels = []
    for message in messages:
        if id(message.content) not in contents:
            packing = _Packing()
            contents[id(message.content)] = packing.content(message.content), packing.parts
        content, parts = contents[id(message.content)]
        own = _Packing(dict(parts))
        bare = _made(metadata=message.metadata, content=RecordDict())
        root = own.add("Message", _body(bare.deflate()), (content,))
        parcels.append(Parcel(root, own.parts))
    return parcels


@dataclass
class _Packing:
    parts: dict[str, tuple[bytes, memoryview]] = field(default_factory=dict)

    def add(self, kind: str, body: bytes | memoryview, children: Iterable[Node] = ()) -> Node:
        unique = {child.name: child for child in children}
        view = memoryview(body)
        head = f"{kind} {','.join(unique)} {view.nbytes}\0".encode()
        digest = hashlib.sha256(head)
        digest.update(view)
        self.parts[digest.hexdigest()] = (head, view)
        return Node(digest.hexdigest(), tuple(unique.values()))

    def content(self, content: RecordDict) -> Node:
        nodes = {name: self._record(record) for name, record in content.items()}
        return self.add("RecordDict", _references(nodes), nodes.values())

    def _record(self, record: Any) -> Node:
        if isinstance(record, ArrayRecord):
            nodes = {name: self._array(array) for name, array in record.items()}
            return self.add("ArrayRecord", _references(nodes), nodes.values())
        return self.add(type(record).__qualname__, _body(record.deflate()))

    def _array(self, array: Array) -> Node:
        view = memoryview(array.data)
        starts = range(0, view.nbytes, CHUNK_BYTES)
        chunks = [self.add("ArrayChunk", view[at : at + CHUNK_BYTES]) for at in starts]
        unique = list(dict.fromkeys(chunk.name for chunk in chunks))
        order = [unique.index(chunk.name) for chunk in chunks]
        described = {
            "dtype": array.dtype,
            "shape": array.shape,
            "stype": array.stype,
            "arraychunk_ids": order,
        }
        return self.add("Array", json.dumps(described).encode(), chunks)


def _references(nodes: Mapping[str, Node]) -> bytes:
    return json.dumps({name: node.name for name, node in nodes.items()}).encode()


def _body(content: bytes) -> memoryview:
    return memoryview(content)[content.index(b"\0") + 1 :]


def count(root: Node, most: int) -> int:
    """How many objects there are; CodecError for more than `most` or for more than five levels."""
    number, level = 0, [root]
    for _ in range(HEAD_DEPTH + 2):
        number += len(level)
        if number > most:
            raise CodecError(f"a message of more than {most} objects")
        level = [child for node in level for child in node.children]
    if level:
        raise CodecError("a message of more levels than messages have")
    return number


def in_memory(chunks: Chunks) -> bytes:
    """The chunks in one piece; the buffer becomes the result without being copied."""
    buffer = io.BytesIO()
    for at, chunk in chunks:
        buffer.seek(at)
        buffer.write(chunk)
    return buffer.getvalue()


def unpack(root: Node, fetch: Fetch, most_bytes: int, keep: Keep = in_memory) -> Message:
    """The message; CodecError where an object is not what its name says or not what belongs there.

    No array may have more than `most_bytes`, of which none are kept before they have come; arrays
    of several chunks are kept by `keep`.
    """
    try:
        heads = {name: _Object.of(name, raw) for name, raw in fetch(list(_names(root, HEAD_DEPTH)))}
        content = heads[heads[root.name].only_child]
        records: dict[str, Any] = {
            name: _record(heads, identity, fetch, most_bytes, keep)
            for name, identity in content.references("RecordDict").items()
        }
        whole = RecordDict()
        for name, record in records.items():
            whole[name] = record
        # Only now is the message put together: its own check of the child's name is ours above.
        return _message(heads[root.name], whole)
    except _UNREADABLE as error:
        raise CodecError(f"not a message of this release: {type(error).__name__}") from None


def _message(root: _Object, content: RecordDict) -> Message:
    message = Message.inflate(root.raw, {root.only_child: content})
    if not message.has_content():
        raise ValueError("a message without content")
    message.metadata.__dict__["_message_id"] = root.name
    return message


def _names(node: Node, depth: int) -> dict[str, None]:
    found = {node.name: None}
    if depth:
        for child in node.children:
            found |= _names(child, depth - 1)
    return found


@dataclass(frozen=True)
class _Object:
    name: str
    kind: str
    children: tuple[str, ...]
    body: memoryview
    raw: bytes

    @classmethod
    def of(cls, name: str, raw: bytes) -> _Object:
        if hashlib.sha256(raw).hexdigest() != name:
            raise CodecError("an object that is not what its name says")
        end = raw.index(b"\0")
        kind, children, length = raw[:end].decode("ascii").split(" ")
        body = memoryview(raw)[end + 1 :]
        if body.nbytes != int(length):
            raise CodecError("an object of another length than it says")
        return cls(name, kind, tuple(children.split(",")) if children else (), body, raw)

    @property
    def only_child(self) -> str:
        (child,) = self.children
        return child

    def references(self, kind: str) -> dict[str, str]:
        if self.kind != kind:
            raise CodecError(f"a {kind} was expected")
        found = json.loads(bytes(self.body))
        if set(found.values()) != set(self.children):
            raise CodecError("an object that refers to others than it names")
        return dict(found)


def _record(
    heads: Mapping[str, _Object], name: str, fetch: Fetch, most_bytes: int, keep: Keep
) -> Any:
    found = heads[name]
    if found.kind == "ConfigRecord":
        return ConfigRecord.inflate(found.raw)
    if found.kind == "MetricRecord":
        return MetricRecord.inflate(found.raw)
    record = ArrayRecord()
    for key, array in found.references("ArrayRecord").items():
        record[key] = _array(heads[array], fetch, most_bytes, keep)
    return record


def _array(found: _Object, fetch: Fetch, most_bytes: int, keep: Keep) -> Array:
    if found.kind != "Array":
        raise CodecError("an Array was expected")
    said = json.loads(bytes(found.body))
    order = [found.children[index] for index in said["arraychunk_ids"]]
    (size,) = said["shape"]
    if said["dtype"] != "uint8" or not 0 <= size <= most_bytes:
        raise CodecError(f"an array that is no string of at most {most_bytes} bytes")
    if -(-size // CHUNK_BYTES) != len(order):
        raise CodecError("an array with another number of chunks than its size has")
    array = Array(dtype="uint8", shape=(size,), stype=str(said["stype"]), data=b"")
    array.__dict__["data"] = (keep if len(order) > 1 else in_memory)(_chunks(order, size, fetch))
    return array


def _chunks(order: Sequence[str], size: int, fetch: Fetch) -> Chunks:
    """The chunks as they come, each with its place; CodecError where one is wrong or missing."""
    places: dict[str, list[int]] = {}
    for index, name in enumerate(order):
        places.setdefault(name, []).append(index)
    wanting = len(places)
    for name, raw in fetch(list(places)):
        chunk = _Object.of(name, raw)
        if chunk.kind != "ArrayChunk":
            raise CodecError("a chunk was expected")
        for index in places.pop(name):
            if chunk.body.nbytes != min(CHUNK_BYTES, size - index * CHUNK_BYTES):
                raise CodecError("a chunk of another size than its place has")
            yield index * CHUNK_BYTES, chunk.body
        wanting -= 1
    if wanting or places:
        raise CodecError("a chunk is missing")


def in_order(root: Node) -> Iterator[Node]:
    """Every object once, children before those that refer to them."""
    seen: set[str] = set()

    def walk(node: Node) -> Iterator[Node]:
        for child in node.children:
            yield from walk(child)
        if node.name not in seen:
            seen.add(node.name)
            yield node

    return walk(root)
