"""The record of a closed round: what the coordinator keeps, signs and tells the sites."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from fedvox.common.identity.keys import PrivateKey, sign


@dataclass(frozen=True)
class RoundRecord:
    """Who was asked, who answered with what, who did not and why, and what came of it."""

    study_sha256: str
    round: int
    weights_in: str
    weights_out: str
    asked: tuple[str, ...]
    answered: Mapping[str, str]
    """Site -> sha256 of its update."""
    refused: Mapping[str, str]
    """Site -> code."""
    late: tuple[str, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """The record in an entry of a log; fields that are missing are empty."""
        nested = {name: entry.get(name) or "null" for name in _NESTED}
        read = {name: _loaded(text) for name, text in nested.items()}
        return cls(
            str(entry.get("study_sha256", "")),
            int(entry.get("round", 0)),
            str(entry.get("weights_in", "")),
            str(entry.get("weights_out", "")),
            tuple(read["asked"] or ()),
            dict(read["answered"] or {}),
            dict(read["refused"] or {}),
            tuple(read["late"] or ()),
        )

    @property
    def text(self) -> bytes:
        """The one text of it that is signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


_NESTED = ("asked", "answered", "refused", "late")


@dataclass(frozen=True)
class Closed:
    """A round's record with the coordinator's signature, as it travels to the sites."""

    record: RoundRecord
    signature: bytes

    @classmethod
    def by(cls, key: PrivateKey, record: RoundRecord) -> Self:
        """The record, signed."""
        return cls(record, sign(key, record.text))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `packed` wrote; None for anything else."""
        try:
            told = json.loads(text)
            signature = base64.b64decode(told.pop("signature"), validate=True)
            if told.keys() != {field.name for field in fields(RoundRecord)}:
                return None
            told |= {"asked": tuple(told["asked"]), "late": tuple(told["late"])}
            return cls(RoundRecord(**told), signature)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def text(self) -> bytes:
        """What is signed."""
        return self.record.text

    @property
    def packed(self) -> str:
        """As one line of text."""
        signature = base64.b64encode(self.signature).decode()
        return json.dumps({**asdict(self.record), "signature": signature}, sort_keys=True)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return None
