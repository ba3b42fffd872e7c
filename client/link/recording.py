"""What the link writes into the audit log: what has left, what was refused, what was told."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache

from fedvox.client.contract.heads import ReplyHead, RequestHead
from fedvox.common.audit.rounds import Closed
from fedvox.common.codec import viewed
from fedvox.common.errors import StudyError
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import PublicKey, sign, verify
from fedvox.common.receipt import Receipt, update_sha256
from fedvox.common.study import parse_study, study_hash

Recorder = Callable[[str, Mapping[str, object]], None]
"""Takes what happened and its fields."""

log = logging.getLogger(__name__)


@lru_cache(maxsize=16)
def study_named(text: str) -> tuple[str, str]:
    """Name and hash of the study in a request; of one that cannot be read, its text's hash."""
    try:
        study = parse_study(text)
    except StudyError:
        return "", hashlib.sha256(text.encode()).hexdigest()
    return study.study.name, study_hash(study)


class Notary:
    """Signs for what leaves, and keeps what the coordinator has signed."""

    def __init__(self, own: Credentials, record: Recorder) -> None:
        self._own = own
        self._record = record
        self._last_closed = ""

    def sent(
        self, request: RequestHead, reply: ReplyHead, groups: Mapping[str, bytes]
    ) -> dict[str, str]:
        """Records what is about to leave; the facts that go with it: the site's receipt."""
        name, study_sha256 = study_named(request.study)
        fields: dict[str, object] = {
            "study": name,
            "study_sha256": study_sha256,
            "round": request.round,
            "request": request.kind,
            "bytes": sum(len(data) for data in groups.values()),
        }
        if reply.refusal is not None:
            self._record("sent", {**fields, "refusal": reply.refusal.value})
            return {}
        update = update_sha256({group: viewed(data) for group, data in groups.items()})
        weights, site = request.weights_sha256, self._own.identity.name
        receipt = Receipt(study_sha256, request.round, weights, update, site)
        self._record("sent", {**fields, "weights_sha256": weights, "update_sha256": update})
        signature = sign(self._own.key, receipt.text)
        return {"receipt": base64.b64encode(signature).decode()}

    def closed(self, packed: str, coordinator: PublicKey | None) -> None:
        """Keeps the record of a closed round, once, if the coordinator has signed it."""
        if packed == self._last_closed:
            return
        told = Closed.parse(packed)
        if told is None or coordinator is None:
            self._record("closed-unsigned", {})
            return
        if not verify(coordinator, told.text, told.signature):
            log.error("the coordinator told of a closed round without having signed it")
            self._record("closed-unsigned", {"study_sha256": told.record.study_sha256[:64]})
            return
        self._record("closed", {"record": packed})
        self._last_closed = packed

    def refused(self, what: str, **fields: object) -> None:
        """Records what the coordinator asked for and this site does not do."""
        log.error("refused: %s", what)
        self._record("refused", {"what": what, **fields})
