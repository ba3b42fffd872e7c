"""Which PACS is asked over DICOM, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedvox.client.pacs.allow import checked_title
from fedvox.client.pacs.tls import TlsFiles
from fedvox.common.errors import InputError


@dataclass(frozen=True)
class Peer:
    """Where a PACS is."""

    title: str
    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Peer:
        """From AE@HOST:PORT."""
        title, at, place = text.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not (at and host and colon and port.isdecimal() and 0 < int(port) < 65536):
            raise InputError(f"--from {text}: write it as AE@HOST:PORT, such as PACS@10.1.2.3:104")
        return cls(checked_title(title), host.strip("[]"), int(port))


@dataclass(frozen=True)
class Asking:
    """How a PACS is asked."""

    peer: Peer
    title: str
    """Our own AE title."""
    method: str
    """move or get."""
    patience_s: float = 60.0
    tls: TlsFiles = field(default_factory=TlsFiles)
