"""What a site signs for every update it sends, so that both ends can prove which one it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fedvox.common.arrays import Arrays, flattened, sha256_of


@dataclass(frozen=True)
class Receipt:
    """Which update answers which request."""

    study_sha256: str
    round: int
    weights_sha256: str
    """Of the weights that came in."""
    update_sha256: str
    site: str

    @property
    def text(self) -> bytes:
        """The one text of it that is signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


def update_sha256(groups: Mapping[str, Arrays]) -> str:
    """The hash of everything a site sends for a round, however it was packed."""
    return sha256_of(flattened(groups))
