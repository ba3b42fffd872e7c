"""What a site says of itself in a call must be what its certificate says."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from fedvox.common.codec import CodecError
from fedvox.common.parcels import Node, count
from fedvox.server.gate.bodies import Turned

COORDINATOR_NODE = 1
"""Flower's number for the coordinator's end."""


def check_claims(
    call: str, request: Any, node: int, key: bytes, given: Set[str], most_objects: int
) -> None:
    """Turned where a call speaks for another node, or of another's message.

    Flower itself looks at the sender of a call but not at the sender that a message names: without
    this a site could answer for another, or give others orders.
    """
    if call == "activate-node":
        _require(request.public_key == key, "key")
        return
    _require(
        (request.node_id if call == "deactivate-node" else request.node.node_id) == node, "node"
    )
    if call == "push-messages":
        _check_answer(request, node, most_objects)
    elif call == "confirm-message-received":
        _require(request.message_object_id in given, "message")


def _check_answer(request: Any, node: int, most_objects: int) -> None:
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        raise Turned(400, "malformed")
    says = request.messages_list[0].metadata
    _require(says.src_node_id == node, "sender")
    _require(says.dst_node_id == COORDINATOR_NODE, "receiver")
    _require(bool(says.reply_to_message_id), "unasked")
    try:
        count(as_node(request.message_object_trees[0]), most_objects)
    except CodecError:
        raise Turned(413, "too-many-objects") from None


def as_node(tree: Any) -> Node:
    """A tree of objects as Flower sends it."""
    return Node(str(tree.object_id), tuple(as_node(child) for child in tree.children))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Turned(403, f"not-own-{what}")
