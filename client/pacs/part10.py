"""The head of a DICOM file, put before a data set that came over the network without one."""

from __future__ import annotations

import struct

IMPLEMENTATION_UID = "2.25.190526417829364510276839024715538261947"
"""Names fedvox in the files that it writes; an arbitrary number under 2.25."""
_VERSION = b"FEDVOX"


def file_head(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Preamble and file meta information (PS3.10, 7.1) for a data set in an encoding."""
    elements = b"".join(
        (
            _element(0x01, b"OB", b"\0\1"),
            _element(0x02, b"UI", _uid(sop_class)),
            _element(0x03, b"UI", _uid(sop_uid)),
            _element(0x10, b"UI", _uid(syntax)),
            _element(0x12, b"UI", _uid(IMPLEMENTATION_UID)),
            _element(0x13, b"SH", _VERSION),
        )
    )
    length = _element(0x00, b"UL", struct.pack("<I", len(elements)))
    return bytes(128) + b"DICM" + length + elements


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHI", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def _uid(uid: str) -> bytes:
    text = uid.encode("ascii", errors="replace")[:64]
    return text + b"\0" * (len(text) % 2)
