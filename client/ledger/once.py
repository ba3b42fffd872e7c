"""The one way through: charged, done, kept, recorded, and only then sent."""

from __future__ import annotations

from collections.abc import Callable

from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.work import Released, Reservation, Work
from fedvox.client.outbox import Outbox
from fedvox.common.errors import Refusal, ResourceError, SiteError


def payload_once(
    ledger: Ledger, outbox: Outbox, work: Work, perform: Callable[[Reservation], bytes]
) -> bytes:
    """What may be sent for the work: made by `perform` once, and the same bytes ever after.

    Whatever `perform` raises is recorded as a refusal, since it may depend on the patients, and
    raised again. A process that is killed records nothing: the work goes on when it is asked for.
    """
    answer = ledger.reserve(work)
    if isinstance(answer, Released):
        return outbox.get(answer.id, answer.payload_sha256)
    try:
        payload = perform(answer)
        digest = outbox.put(work.id, payload)
    except Exception as error:
        ledger.refuse(answer, *_told(error))
        raise
    ledger.release(answer, digest)
    return payload


def _told(error: Exception) -> tuple[Refusal, str]:
    if isinstance(error, SiteError):
        return error.refusal, error.detail
    scarce = isinstance(error, ResourceError | MemoryError)
    return Refusal.RESOURCES if scarce else Refusal.INTERNAL, f"{type(error).__name__}: {error}"
