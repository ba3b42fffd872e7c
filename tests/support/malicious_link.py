"""A site whose link has a genuine certificate and lies: `python malicious_link.py --home DIR`.

Everything but the answers is fedvox's own link. What it answers goes by the round.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedvox.client.contract.heads import ReplyHead, RequestHead
from fedvox.client.contract.stub import TrainerStub
from fedvox.client.link import __main__ as link
from fedvox.client.link import errand
from fedvox.client.link.translate import content_of
from fedvox.common.arrays import Array
from fedvox.common.codec import decode, encode

LIES = {
    2: "not-finite",
    3: "norm",
    4: "shape",
    5: "round",
    6: "weights",
    7: "unreadable",
    8: "examples",
    9: "names",
    10: "dtype",
}
"""Round -> the code under which the lie is to be refused."""


class Liar(TrainerStub):
    """Passes on what the trainer answers, with a lie in it."""

    _before: tuple[ReplyHead, dict[str, bytes]] | None = None

    def ask(
        self, head: RequestHead, groups: Mapping[str, bytes | memoryview], deadline_s: float
    ) -> tuple[ReplyHead, dict[str, bytes]]:
        reply, sent = super().ask(head, groups, deadline_s)
        if head.kind != "train" or reply.refusal is not None:
            return reply, sent
        before, self._before = self._before, (reply, sent)
        lie = LIES.get(head.round, "")
        if lie == "round" and before is not None:
            return before
        if lie == "weights":
            return replace(reply, weights_sha256="0" * 64), sent
        if lie == "examples":
            return replace(reply, examples=10**6), sent
        if lie and lie != "unreadable":
            return reply, {"update": encode(spoiled(dict(decode(sent["update"])), lie))}
        return reply, sent


def spoiled(update: dict[str, Array], lie: str) -> dict[str, Array]:
    name = sorted(update)[0]
    if lie == "not-finite":
        update[name] = np.full_like(update[name], np.nan)
    elif lie == "norm":
        update[name] = np.full_like(update[name], 1e9)
    elif lie == "shape":
        update[name] = np.zeros((3, 3), np.float32)
    elif lie == "names":
        update["another"] = update.pop(name)
    elif lie == "dtype":
        update[name] = update[name].astype(np.float64)
    return update


def packed(head: ReplyHead, groups: Mapping[str, bytes]) -> object:
    """What goes on the wire: in one round, bytes that are no tensors."""
    lies = LIES.get(head.round) == "unreadable" and groups
    return content_of(head, {"update": b"\xff" * 64} if lies else groups)


if __name__ == "__main__":
    errand.content_of = packed  # type: ignore[assignment]
    link.TrainerStub = Liar  # type: ignore[misc]
    sys.exit(link.main())
