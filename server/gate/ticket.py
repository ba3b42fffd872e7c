"""What a conductor needs to work on a run of the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class RunTicket:
    """A run, and the right to send and receive its messages."""

    run_id: int
    task_id: int
    token: str = field(repr=False)
    runtime: str
    """Path of the Unix socket on which the gate answers conductors."""
    objects: str
    """Folder in which the gate keeps large objects, each under its name."""
    study: str

    def as_plain(self) -> dict[str, Any]:
        """For handing it to another process; it holds a secret."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The ticket in what `as_plain` gave."""
        return cls(**plain)
