"""The audit log of a site or a coordinator, under its own folder and by its own key."""

from __future__ import annotations

from pathlib import Path

from fedvox.common.audit.log import AuditLog
from fedvox.common.identity.credentials import Credentials

FILE = "audit.jsonl"
IDENTITY = "identity"


def trail(home: Path) -> AuditLog:
    """The log of whoever `home` belongs to."""
    own = Credentials.load(home / IDENTITY)
    return AuditLog(home / FILE, own.identity.name, own.chain_file.read_bytes(), own.key)
