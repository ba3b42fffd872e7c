"""What stands between a site's patients and what leaves it: charged first, checked, then released.

A private piece of work goes one way only. The request is checked against the site's caps and
charged in the ledger, durably, before an image is opened. What the work made is checked against
what was charged, kept in the outbox, and recorded as released. Only then is it sent; asked for
again, it is the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.once import payload_once
from fedvox.client.ledger.work import Reservation, Work, WorkId
from fedvox.client.outbox import Outbox
from fedvox.client.training.private.noise import NoiseFor
from fedvox.common.arrays import Arrays, flattened, grouped
from fedvox.common.codec import CodecError, decode, encode, notes_of
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.messages import Figures
from fedvox.common.privacy.terms import Terms
from fedvox.common.study import Study, study_hash

_KEPT_ROUNDS = 2
_FIGURES = "figures"


@dataclass(frozen=True)
class Payload:
    """What leaves a site after a private piece of work."""

    arrays: Mapping[str, Arrays]
    figures: Figures


@dataclass(frozen=True)
class Guard:
    """The ledger, the outbox and the noise of one site."""

    open_ledger: Callable[[], Ledger]
    outbox: Outbox
    noise_for: NoiseFor
    shows_figures: bool = False
    """Losses and metrics may leave as they are. They are not covered by what is charged: for
    simulations, where they are the researcher's own."""

    def once(
        self,
        study: Study,
        round_number: int,
        weights_sha256: str,
        terms: Terms,
        perform: Callable[[Reservation], Payload],
    ) -> Payload:
        """What may be sent for a round of private training; SiteError where nothing may."""
        identity = WorkId(study_hash(study), round_number, weights_sha256)
        work = Work(
            identity,
            study.study.name,
            terms.charge_of_round(),
            terms.clip_norm,
            terms.delta,
            terms.honest_sites,
        )
        with self.open_ledger() as ledger:
            payload = payload_once(
                ledger, self.outbox, work, lambda charged: _packed(perform(charged))
            )
        self.outbox.prune(identity.study_sha256, _KEPT_ROUNDS)
        return _unpacked(payload)


def _packed(payload: Payload) -> bytes:
    return encode(
        flattened(payload.arrays), {_FIGURES: json.dumps(dict(payload.figures), sort_keys=True)}
    )


def _unpacked(data: bytes) -> Payload:
    try:
        figures = json.loads(notes_of(data)[_FIGURES])
        return Payload(grouped(decode(data)), figures)
    except (CodecError, KeyError, ValueError) as error:
        raise SiteError(Refusal.INTERNAL, f"a released payload cannot be read: {error}") from None
