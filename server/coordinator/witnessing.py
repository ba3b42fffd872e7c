"""What a coordinator has signed by the sites, and signs for them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from fedvox.common.audit.log import AuditLog
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.identity.keys import PrivateKey, PublicKey, verify
from fedvox.common.messages import Reply, Scalar
from fedvox.common.receipt import Receipt, update_sha256
from fedvox.server.admit import Code, Rejected


class SignedRounds:
    """The witness of one study in a consortium."""

    def __init__(
        self,
        study_sha256: str,
        log: AuditLog,
        key: PrivateKey,
        key_of: Callable[[str], PublicKey | None],
        closed: Closed | None,
    ) -> None:
        """`key_of` tells a site's key of now; a site may be invited again while a study runs.

        `closed` is the last round that was closed before this process began.
        """
        self._study = study_sha256
        self._log = log
        self._key = key
        self._key_of = key_of
        self._closed = closed
        self._updates: dict[str, tuple[str, str]] = {}
        """Site -> hash of its update, and the site's signature for it, as text."""

    def check(self, site: str, reply: Reply) -> None:
        """Raises Rejected where the site has not signed for its update."""
        update = update_sha256(reply.arrays)
        receipt = Receipt(self._study, reply.round, reply.weights_sha256, update, site)
        text = str(reply.facts.get("receipt", ""))
        try:
            signature = base64.b64decode(text, validate=True)
        except binascii.Error:
            signature = b""
        known = self._key_of(site)
        if known is None or not verify(known, receipt.text, signature):
            raise Rejected(Code.RECEIPT, f"{site} has not signed for this update")
        self._updates[site] = (update, text)

    def close(self, line: Mapping[str, Any]) -> None:
        """Records a closed round in the audit log, durably."""
        counted = {site: self._updates[site] for site in line["answered"]}
        record = RoundRecord(
            self._study,
            line["round"],
            line["weights_in"],
            line["weights_out"],
            tuple(line["asked"]),
            {site: update for site, (update, _) in counted.items()},
            dict(line["refused"]),
            tuple(line["late"]),
        )
        receipts = {site: receipt for site, (_, receipt) in counted.items()}
        self._log.append("round", **vars(record), receipts=receipts)
        self._closed = Closed.by(self._key, record)
        self._updates.clear()

    def last_closed(self) -> Mapping[str, Scalar]:
        """What the next request tells the sites of the round before."""
        return {"closed": self._closed.packed} if self._closed else {}
