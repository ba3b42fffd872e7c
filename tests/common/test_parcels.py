"""Held against Flower's own way of cutting messages into objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from fedvox.common.codec import CodecError
from fedvox.common.messages import Reply, Request
from fedvox.common.parcels import CHUNK_BYTES, Node, Parcel, count, in_order, pack, unpack
from fedvox.common.wire import read_reply, read_request, reply_message, request_content

TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 7, 1


def request(elements: int = 3_000_000) -> Request:
    weights = {
        "a": np.random.default_rng(1).normal(size=elements).astype(np.float32),
        "zeros": np.zeros(elements, np.float32),  # equal chunks have one name
    }
    control = {"c": np.arange(5)}
    return Request("train", "text", 3, "f" * 64, {"x": 1}, {"weights": weights, "control": control})


def message(elements: int = 3_000_000, node: int = 9) -> Message:
    return Message(request_content(request(elements)), node, "train", group_id="3")


def fetching(parcel: Parcel) -> object:
    def fetch(names: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        return [(name, parcel.content(name)) for name in reversed(names)]

    return fetch


def as_node(tree: object) -> Node:
    return Node(tree.object_id, tuple(as_node(child) for child in tree.children))  # type: ignore[attr-defined]


def test_the_objects_are_those_that_flower_makes() -> None:
    sent = message()
    (parcel,) = pack([sent])
    theirs = {name: made.deflate() for name, made in get_all_nested_objects(sent).items()}
    assert {name: parcel.content(name) for name in parcel.parts} == theirs
    assert parcel.root == as_node(get_object_tree(sent))
    assert all(parcel.size(name) == len(content) for name, content in theirs.items())


def test_flower_reads_what_is_packed() -> None:
    sent = message()
    (parcel,) = pack([sent])
    contents = {name: parcel.content(name) for name in parcel.parts}
    got = inflate_object_from_contents(parcel.root.name, contents)
    assert isinstance(got, Message)
    read = read_request(got)
    assert read.settings == {"x": 1}
    np.testing.assert_array_equal(read.arrays["weights"]["a"], request().arrays["weights"]["a"])


def test_what_is_packed_is_unpacked() -> None:
    sent = message()
    (parcel,) = pack([sent])
    got = unpack(parcel.root, fetching(parcel), 1 << 30)  # type: ignore[arg-type]
    assert got.metadata.message_id == parcel.root.name
    assert got.metadata.group_id == "3"
    read, asked = read_request(got), request()
    assert (read.kind, read.round, read.weights_sha256) == ("train", 3, "f" * 64)
    for group, arrays in asked.arrays.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(read.arrays[group][name], array)


def test_a_reply_goes_the_same_way() -> None:
    (parcel,) = pack([message(10)])
    asked = unpack(parcel.root, fetching(parcel), 1 << 30)  # type: ignore[arg-type]
    reply = Reply("a", 3, "f" * 64, 4, {"update": {"w": np.ones(3)}}, {"loss": 0.5}, {"k": "v"})
    (back,) = pack([reply_message(reply, asked)])
    got = unpack(back.root, fetching(back), 1 << 30)  # type: ignore[arg-type]
    assert got.metadata.reply_to_message_id == parcel.root.name
    read = read_reply(got)
    assert (read.site, read.examples, read.figures, read.facts) == (
        "a",
        4,
        {"loss": 0.5},
        {"k": "v"},
    )


def test_a_content_that_is_shared_is_the_same_objects() -> None:
    content = request_content(request(10))
    one, two = pack([Message(content, node, "train") for node in (5, 6)])
    assert set(one.parts) ^ set(two.parts) == {one.root.name, two.root.name}


@pytest.mark.parametrize("what", ["flipped", "missing", "cut"])
def test_an_object_that_is_not_what_its_name_says_is_refused(what: str) -> None:
    (parcel,) = pack([message(100)])
    for victim in parcel.parts:

        def fetch(names: Sequence[str], victim: str = victim) -> Iterable[tuple[str, bytes]]:
            for name in names:
                content = parcel.content(name)
                if name == victim:
                    if what == "missing":
                        continue
                    content = content[:-1] if what == "cut" else content[:-1] + b"\xff\xfe"
                yield name, content

        with pytest.raises(CodecError):
            unpack(parcel.root, fetch, 1 << 30)


def test_sizes_are_checked_before_anything_is_fetched() -> None:
    (parcel,) = pack([message()])
    asked: list[int] = []

    def fetch(names: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        asked.append(len(names))
        return [(name, parcel.content(name)) for name in names]

    with pytest.raises(CodecError, match="at most 1000 bytes"):
        unpack(parcel.root, fetch, 1000)
    assert len(asked) == 1, "chunks were fetched"


def test_trees_are_bounded() -> None:
    (parcel,) = pack([message(100)])
    assert count(parcel.root, 50) == 10 == len(parcel.parts)
    with pytest.raises(CodecError, match="more than 5 objects"):
        count(parcel.root, 5)
    deep = Node("x")
    for _ in range(5):
        deep = Node("y", (deep,))
    with pytest.raises(CodecError, match="levels"):
        count(deep, 50)


def test_children_come_before_those_that_refer_to_them() -> None:
    (parcel,) = pack([message()])
    names = [node.name for node in in_order(parcel.root)]
    assert sorted(names) == sorted(parcel.parts)
    assert names[-1] == parcel.root.name


def test_chunks_are_cut_where_flower_cuts_them() -> None:
    from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE

    assert CHUNK_BYTES == FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE


def test_messages_without_tensors() -> None:
    sent = Message(RecordDict({"request": ConfigRecord({"kind": "describe"})}), 3, "query")
    (parcel,) = pack([sent])
    got = unpack(parcel.root, fetching(parcel), 0)  # type: ignore[arg-type]
    assert got.content.config_records["request"]["kind"] == "describe"
