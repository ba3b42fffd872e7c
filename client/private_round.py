"""One round of private training at a site, between the charge and the release."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from fedvox.client.guard import Guard, Payload
from fedvox.client.ledger.work import Reservation
from fedvox.client.local import LocalWork
from fedvox.client.store import Store
from fedvox.client.training.private.steps import private_steps
from fedvox.common.arrays import Arrays
from fedvox.common.messages import Figures, Request
from fedvox.common.privacy.terms import Terms, terms_for
from fedvox.common.study import study_hash

log = logging.getLogger(__name__)


def train_privately(
    guard: Guard,
    request: Request,
    work: LocalWork,
    store: Store,
    people: Sequence[Sequence[str]],
    patients: int,
    keep: Callable[[Mapping[str, Arrays]], None],
) -> tuple[Mapping[str, Arrays], Figures]:
    """What leaves the site: groups of tensors and figures. SiteError where nothing may.

    `patients` are as many as may be known outside; `keep` makes a state durable.
    """
    study = work.learner.study
    terms = terms_for(study, patients)

    def perform(charged: Reservation) -> Payload:
        noise = guard.noise_for(study_hash(study), request.round, request.weights_sha256)
        steps = private_steps(work, store, people, terms, noise)
        done = work.train(_finite(steps))
        steps.require_as_charged()
        # Before the release: whoever is answered from the outbox finds this state as well.
        keep(done.state | steps.state())
        shown = done.figures if guard.shows_figures else {"lr": done.figures["lr"]}
        return Payload(done.arrays, {**shown, **_accounts(terms, charged, steps.clip_norm)})

    sent = guard.once(study, request.round, request.weights_sha256, terms, perform)
    return sent.arrays, sent.figures


def _finite(losses: Iterable[Tensor]) -> Iterator[Tensor]:
    """Losses of steps; where one is not finite, the last that was.

    Such a patient adds nothing to the sum. A round that ended here would tell that he was drawn.
    """
    last = None
    for number, loss in enumerate(losses):
        if bool(loss.isfinite()):
            last = loss
        else:
            log.warning("step %d: the loss of a patient is not finite; he adds nothing", number)
        yield loss.new_zeros(()) if last is None else last


def _accounts(terms: Terms, charged: Reservation, clip_norm: float) -> dict[str, float]:
    """What the steps were, and what the study has spent of the patients' privacy with them."""
    return {
        "epsilon": charged.study_epsilon,
        "delta": terms.delta,
        "noise_multiplier": terms.noise_multiplier,
        "sample_rate": terms.sample_rate,
        "steps": terms.steps_per_round,
        "clip_norm": clip_norm,
    }
