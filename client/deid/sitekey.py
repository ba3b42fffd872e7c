"""The key that only this site has, and what is made with it: pseudonyms, UIDs, shifts, seals.

HOME/identity/pseudonym.key, made on first use. Whoever has it can link pseudonyms to patients that
he knows by identifier; without it nobody can, not even by trying all identifiers. Lose it, and the
same patient comes back under another pseudonym: back it up where the site keeps its secrets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fedvox.common.errors import InputError, ResourceError
from fedvox.common.files import sync_folder, writing

_KEY_BYTES = 32
_NONCE_BYTES = 12
_PSEUDONYM_BYTES = 10
"""80 bits: no two of a billion patients share one, and it can still be read aloud."""
_LONGEST_SHIFT_DAYS = 3650
_UID_ROOT = "2.25."


@dataclass(frozen=True)
class SiteKey:
    """Turns identifiers into what may be kept in their place."""

    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, home: Path) -> Self:
        """The key of a site, made where there is none yet."""
        path = home / "identity" / "pseudonym.key"
        if not path.exists():
            _make(path)
        return cls(_read(path))

    def pseudonym(self, patient: str) -> str:
        """The patient's pseudonym, such as P-3KQ7-NZ2M-XB5T-A4WD."""
        text = base64.b32encode(self._digest("patient", _normal(patient))[:_PSEUDONYM_BYTES])
        word = text.decode("ascii")
        return "-".join(["P", *(word[at : at + 4] for at in range(0, len(word), 4))])

    def uid(self, uid: str) -> str:
        """The UID that stands for another one; the same for the same, everywhere at this site."""
        content = bytearray(self._digest("uid", uid.strip(" \0"))[:16])
        content[6] = content[6] & 0x0F | 0x80  # UUID version 8: made by a rule of one's own
        content[8] = content[8] & 0x3F | 0x80
        return f"{_UID_ROOT}{int.from_bytes(content, 'big')}"

    def token(self, purpose: str, value: str) -> str:
        """40 characters that stand for a value and cannot be traced back to it."""
        return self._digest(f"token {purpose}", value).hex()[:40]

    def shift_days(self, patient: str) -> int:
        """Days that all dates of a patient are moved by; into the past, up to ten years."""
        number = int.from_bytes(self._digest("dates", _normal(patient))[:8], "big")
        return -(1 + number % _LONGEST_SHIFT_DAYS)

    def seal(self, text: str) -> bytes:
        """The text so that only who has this key can read it."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._digest("seal", "")).encrypt(nonce, text.encode(), None)

    def unseal(self, sealed: bytes) -> str:
        """What was sealed; InputError where it was sealed with another key."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(self._digest("seal", ""))
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
        except InvalidTag:
            raise InputError(
                "HOME/identity/pseudonym.key is not the key that this was sealed with; restore it"
            ) from None

    def _digest(self, purpose: str, value: str) -> bytes:
        message = f"fedvox {purpose}\0{value}".encode(errors="surrogateescape")
        return hmac.digest(self.secret, message, hashlib.sha256)


def _normal(patient: str) -> str:
    """One spelling of an identifier: what pads it, and how accents are composed, tells nothing."""
    return unicodedata.normalize("NFC", patient.strip(" \0\t\r\n"))


def _make(path: Path) -> None:
    """Writes a new key; of several processes that try, one succeeds and all use its key."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".pseudonym.")  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink(missing_ok=True)
        sync_folder(path.parent)


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise InputError(f"{path}: damaged; restore it from a backup, never make a new one")
    if mode & 0o077:
        raise InputError(f"{path}: others may read it; run chmod 600 on it")
    return secret
