"""What a source of cases is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedvox.common.volume import CaseError, Volume

Suggestions = dict[str, dict[str, Any]]
"""Tables of a study file that yield to the file and the command line."""
Progress = Callable[[str, int, int], None]
"""File name, bytes so far, bytes in all (0: not known)."""


@dataclass(frozen=True)
class CaseRef:
    """A case of a source, not yet read."""

    case: str
    patient: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a table beside the images, or the source itself, says of the case."""


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """Short, for reports; never a path."""

    def suggests(self) -> Suggestions:
        """Study tables that suit the data; `task.kind` is what the source delivers."""

    def cases(self) -> Sequence[CaseRef]:
        """All usable cases by name; no image is decoded."""

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        """Cases that were found unusable while listing."""

    def fingerprint(self, ref: CaseRef) -> str:
        """Identity of what `load` would return."""

    def load(self, ref: CaseRef) -> Volume:
        """The case; CaseError where it cannot be used."""
