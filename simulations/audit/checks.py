"""What a check says, and when it counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

RARE = 1e-6
"""What chance alone brings about less often than this was not chance."""
MANY_DEVIATIONS = 6.0
"""The same for figures that are only nearly normal: by a normal one it is exceeded once in 5e8."""


@dataclass(frozen=True)
class Check:
    """One question to the steps that were seen."""

    name: str
    seen: str
    due: str
    found: bool
    """Whether the steps are not what was charged."""
    meaning: str = ""
    """What it means that something was found."""

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def rare(chance: float) -> bool:
    """Whether an event of such a chance is held against the engine."""
    return chance < RARE
