"""Where the consortium's acts are written down: the coordinator's audit log."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

from fedvox.common.audit.trail import trail
from fedvox.common.chain import Scalar
from fedvox.server.consortium.authority import Authority, Recorder


def recorder_of(home: Path) -> Recorder:
    """Writes into the audit log of the consortium in a folder."""
    log = trail(home)

    def record(kind: str, fields: Mapping[str, Scalar]) -> None:
        log.append(kind, **fields)

    return record


def authority_at(home: Path) -> Authority:
    """The authority in a folder, used by whoever is logged in at this machine."""
    return Authority.open(home, recorder_of(home), f"{_account()} at this machine")


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return "somebody"
