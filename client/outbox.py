"""What a site has ready to send: the bytes it released, so that who asks again gets the same.

FOLDER/STUDY/ROUND-WORK-PAYLOAD.payload, each name cut from a hash. A payload is durable before the
ledger says that it may be sent, and the ledger keeps its hash when the bytes are long gone: work
whose bytes are lost is refused, never done again as if it had not been charged.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from pathlib import Path

from fedvox.client.ledger.places import make_folder
from fedvox.client.ledger.work import WorkId
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.files import sync_folder, write_bytes_atomic, writing

_SUFFIX = ".payload"


class Outbox:
    """Released payloads under `folder`. For any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, work: WorkId, payload: bytes) -> str:
        """Keeps a payload, durably; answers its sha256. ResourceError where the disk will not.

        Another payload for the same work does not replace it: the ledger decides which is sent.
        """
        digest = hashlib.sha256(payload).hexdigest()
        path = self._path(work, digest)
        with writing(path):
            make_folder(path.parent)
        write_bytes_atomic(path, payload)
        return digest

    def get(self, work: WorkId, payload_sha256: str) -> bytes:
        """The payload the ledger names; SiteError where it is gone or damaged."""
        path = self._path(work, payload_sha256)
        try:
            payload = path.read_bytes()
        except OSError as error:
            why = f"{path}: {error.strerror}: released before, but no longer kept"
            raise SiteError(Refusal.INTERNAL, why) from None
        if hashlib.sha256(payload).hexdigest() != payload_sha256:
            raise SiteError(Refusal.INTERNAL, f"{path}: damaged: not the bytes that were released")
        return payload

    def prune(self, study_sha256: str, keep_rounds: int) -> int:
        """Removes what is older than a study's newest rounds; answers how many payloads went."""
        kept = self._rounds(study_sha256)
        newest = sorted({_round(path) for path in kept})[-keep_rounds:] if keep_rounds else []
        old = [path for path in kept if _round(path) not in newest]
        for path in old:
            with writing(path):
                path.unlink(missing_ok=True)
        if old:
            with writing(old[0].parent):
                sync_folder(old[0].parent)
        return len(old)

    def _rounds(self, study_sha256: str) -> list[Path]:
        return sorted((self._folder / study_sha256[:16]).glob(f"*{_SUFFIX}"))

    def _path(self, work: WorkId, payload_sha256: str) -> Path:
        key = hashlib.sha256(json.dumps(astuple(work)).encode()).hexdigest()
        name = f"{work.round:06d}-{key[:16]}-{payload_sha256[:16]}{_SUFFIX}"
        return self._folder / work.study_sha256[:16] / name


def _round(path: Path) -> int:
    return int(path.name.partition("-")[0])
