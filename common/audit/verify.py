"""Checking logs: each by itself, and coordinator and sites against each other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from fedvox.common import chain
from fedvox.common.audit.log import START, Signed, read_log
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.errors import IdentityError, InputError
from fedvox.common.identity.certificates import certificates_of, identity_of, verify_chain
from fedvox.common.identity.keys import PublicKey, public_key_of, verify
from fedvox.common.identity.names import Role
from fedvox.common.receipt import Receipt


@dataclass(frozen=True)
class Wrong:
    """The first entry of a log that does not hold, or one of several."""

    file: Path
    sequence: int
    text: str


@dataclass(frozen=True)
class Log:
    """A log that was read, and whose it is."""

    file: Path
    lines: Sequence[Signed]
    role: Role
    owner: str
    key: PublicKey

    def of_kind(self, kind: str) -> Iterator[Signed]:
        """The lines of one kind."""
        return (line for line in self.lines if line.kind == kind)


def open_log(file: Path, authority: x509.Certificate | None) -> Log:
    """The log in a file, with the key of its owner; InputError where that is not known."""
    lines = read_log(file)
    if not lines or lines[0].kind != "opened":
        raise InputError(f"{file}: does not begin with the line that names its owner")
    try:
        pem = str(lines[0].fields["certificate"]).encode()
        certificates = certificates_of(pem, str(file))
        if authority is not None:
            issued = [one for one in certificates if one != authority]
            began = datetime.fromisoformat(str(lines[0].fields["at"]))
            verify_chain(issued, authority, began)
        identity = identity_of(certificates[0])
    except (KeyError, ValueError, IdentityError) as error:
        raise InputError(f"{file}: its owner's certificate does not hold: {error}") from None
    key = public_key_of(identity.public_key)
    return Log(file, lines, identity.role, identity.name, key)


def wrongs(logs: Sequence[Log]) -> list[Wrong]:
    """What does not hold in the logs, in their order; the first of each names the first entry."""
    found = [wrong for log in logs for wrong in _alone(log)]
    coordinators = [log for log in logs if log.role is Role.COORDINATOR]
    sites = [log for log in logs if log.role is Role.SITE]
    for coordinator in coordinators:
        for owner in sorted({log.owner for log in sites}):
            own = [log for log in sites if log.owner == owner]  # link's and trainer's, old and new
            found += _updates(coordinator, own)
            for log in own:
                found += _closings(coordinator, log)
    return found


def _alone(log: Log) -> Iterator[Wrong]:
    for finding in chain.verify((line.link for line in log.lines), START):
        yield Wrong(log.file, finding.sequence, finding.text)
    for line in log.lines:
        if not verify(log.key, line.link.hash.encode(), line.signature):
            yield Wrong(log.file, line.link.sequence, f"not signed by {log.owner}")


def _updates(coordinator: Log, site: Sequence[Log]) -> Iterator[Wrong]:
    """Updates that the coordinator counts, held against what the site's logs say it has sent."""
    owner = site[0].owner
    sent = {_key(line.fields) for log in site for line in log.of_kind("sent")}
    for line in coordinator.of_kind("round"):
        record = RoundRecord.of(line.fields)
        if owner not in record.answered:
            continue
        place = (coordinator.file, line.link.sequence)
        update = record.answered[owner]
        receipt = Receipt(record.study_sha256, record.round, record.weights_in, update, owner)
        signature = _receipts(line.fields).get(owner, b"")
        if not any(verify(log.key, receipt.text, signature) for log in site):
            yield Wrong(*place, f"{owner} has not signed for the update it is said to have")
        elif (record.study_sha256, record.round, update) not in sent:
            text = f"round {record.round}: counts an update that {owner} has no entry of"
            yield Wrong(*place, text)


def _closings(coordinator: Log, site: Log) -> Iterator[Wrong]:
    """Rounds as the coordinator told the site of them, held against what it has kept."""
    # A coordinator that was killed before its checkpoint closes the round once more.
    kept = [RoundRecord.of(line.fields) for line in coordinator.of_kind("round")]
    for line in site.of_kind("closed"):
        place = (site.file, line.link.sequence)
        closed = Closed.parse(str(line.fields.get("record", "")))
        if closed is None or not verify(coordinator.key, closed.text, closed.signature):
            yield Wrong(*place, f"not signed by {coordinator.owner}")
            continue
        if closed.record not in kept:
            number, owner = closed.record.round, coordinator.owner
            text = f"round {number}: {owner} signed another record of it than it kept"
            yield Wrong(*place, text)


def _key(fields: Mapping[str, Any]) -> tuple[str, int, str]:
    return (
        str(fields.get("study_sha256")),
        int(fields.get("round", -1)),
        str(fields.get("update_sha256")),
    )


def _receipts(fields: Mapping[str, Any]) -> dict[str, bytes]:
    try:
        told = json.loads(fields["receipts"])
        return {site: base64.b64decode(text) for site, text in told.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
