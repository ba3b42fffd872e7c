"""The site's part of each strategy: what is trained, what is sent, what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.learner import Learner, Pull, Trained
from fedvox.client.training.schedule import Stretch
from fedvox.common.arrays import Arrays, add, delta
from fedvox.common.study import Study

State = Mapping[str, Arrays]


@dataclass(frozen=True)
class Local:
    """What a round of local work leaves: groups to send, groups to keep, figures."""

    arrays: Mapping[str, Arrays]
    state: Mapping[str, Arrays]
    loss: float
    seconds: float
    rate: float
    """Mean learning rate."""


def train_locally(
    learner: Learner,
    weights: Arrays,
    received: Mapping[str, Arrays],
    before: State,
    batches: Batches,
    stretch: Stretch,
) -> Local:
    """One round at a site, by the study's strategy."""
    study = learner.study
    name = study.strategy.name
    start = _with_local_layers(weights, before) if name == "fedbn" else weights
    pull = _pull(study, weights, received, before)
    trained = _train(learner, start, batches, stretch, before.get("moments"), pull)
    sent: dict[str, Arrays] = {"update": trained.update}
    kept: dict[str, Arrays] = {}
    if study.training.optimizer_state == "keep":
        kept["moments"] = trained.moments
    if name == "scaffold":
        sent["control"], kept["control"] = _control(trained, received["control"], before)
    if name == "fedbn":
        norms = learner.norm_names()
        sent["update"] = {k: v for k, v in trained.update.items() if k not in norms}
        kept["layers"] = {k: trained.weights[k] for k in norms}
    if name == "ditto":
        kept |= _personal(learner, weights, before, batches, stretch)
    rate = trained.rate_sum / stretch.steps
    return Local(sent, kept, trained.loss, trained.seconds, rate)


def weights_to_evaluate(study: Study, learner: Learner, weights: Arrays, state: State) -> Arrays:
    """What a site would use itself: the personal model under ditto, its own norms under fedbn."""
    if study.strategy.name == "ditto" and "personal" in state:
        return state["personal"]
    if study.strategy.name == "fedbn":
        return _with_local_layers(weights, state)
    return weights


def _train(
    learner: Learner,
    weights: Arrays,
    batches: Batches,
    stretch: Stretch,
    moments: Arrays | None,
    pull: Pull,
) -> Trained:
    stream = batches.of(stretch, learner.study.training.batch_size, learner.device)
    seed = seed_of(batches.seed, stretch.first_example)
    return learner.train(weights, stream, stretch, moments, pull, seed)


def _pull(study: Study, weights: Arrays, received: Mapping[str, Arrays], before: State) -> Pull:
    if study.strategy.name == "fedprox":
        return Pull(mu=study.strategy.mu, anchor=weights)
    if study.strategy.name == "scaffold":
        shared = received["control"]
        return Pull(correction={**shared, **delta(shared, before.get("control", {}))})
    return Pull()


def _control(trained: Trained, shared: Arrays, before: State) -> tuple[Arrays, Arrays]:
    """Option II of SCAFFOLD: (change of the site's control variate, the new one)."""
    own = before.get("control", {})
    # own_new = own - shared + (before - after) / (sum of learning rates)
    change = {
        name: np.negative(control) - np.divide(trained.update[name], np.float32(trained.rate_sum))
        for name, control in shared.items()
    }
    return change, {**change, **add(own, change)}


def _personal(
    learner: Learner, weights: Arrays, before: State, batches: Batches, stretch: Stretch
) -> dict[str, Arrays]:
    pull = Pull(mu=learner.study.strategy.ditto_lambda, anchor=weights)
    start = before.get("personal") or weights
    moments = before.get("personal_moments")
    trained = _train(learner, start, batches, stretch, moments, pull)
    kept: dict[str, Arrays] = {"personal": trained.weights}
    if learner.study.training.optimizer_state == "keep":
        kept["personal_moments"] = trained.moments
    return kept


def _with_local_layers(weights: Arrays, state: State) -> Arrays:
    return {**weights, **state.get("layers", {})}
