"""What sites and coordinator sign for each other, so that both can prove a round afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fedvox.common.messages import Reply, Scalar


class Witness(Protocol):
    """Sees every update that counts, and every round that is closed."""

    def check(self, site: str, reply: Reply) -> None:
        """Raises Rejected where the site has not signed for its update."""

    def close(self, line: Mapping[str, Any]) -> None:
        """Records a closed round, durably."""

    def last_closed(self) -> Mapping[str, Scalar]:
        """What the next request tells the sites of the round before; nothing at the beginning."""
