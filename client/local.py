"""The site's part of each strategy: what is trained, what is sent, what is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.learner import Learner, Pull, Trained
from fedvox.client.training.schedule import Stretch
from fedvox.common.arrays import Arrays, add, delta
from fedvox.common.messages import Figures
from fedvox.common.study import Study

State = Mapping[str, Arrays]


@dataclass(frozen=True)
class Local:
    """What a round of local work leaves: groups to send, groups to keep, figures."""

    arrays: Mapping[str, Arrays]
    state: dict[str, Arrays]
    figures: Figures


@dataclass(frozen=True)
class LocalWork:
    """One round at a site, by the study's strategy."""

    learner: Learner
    weights: Arrays
    received: Mapping[str, Arrays]
    before: State
    batches: Batches
    stretch: Stretch

    @property
    def seed(self) -> int:
        """Of what is drawn in this round: the masks of dropout, patches and augmentation."""
        return seed_of(self.batches.seed, self.stretch.first_example)

    def train(self, private: Iterable[Tensor] | None = None) -> Local:
        """Trains; what is sent comes from `private` gradients, if there are any.

        What stays at the site needs none.
        """
        name = self.learner.study.strategy.name
        trained = self._federated(private)
        sent: dict[str, Arrays] = {"update": trained.update}
        kept: dict[str, Arrays] = {}
        if self.learner.study.training.optimizer_state == "keep":
            kept["moments"] = trained.moments
        if name == "scaffold":
            control = self.received["control"]
            sent["control"], kept["control"] = _control(trained, control, self.before)
        if name == "fedbn":
            norms = self.learner.norm_names()
            sent["update"] = {k: v for k, v in trained.update.items() if k not in norms}
            kept["layers"] = {k: trained.weights[k] for k in norms}
        if name == "ditto":
            kept |= self._personal()
        rate = trained.rate_sum / self.stretch.steps
        figures = {"loss": trained.loss, "seconds": trained.seconds, "lr": rate}
        return Local(sent, kept, figures)

    def _federated(self, private: Iterable[Tensor] | None) -> Trained:
        study, before = self.learner.study, self.before
        fedbn = study.strategy.name == "fedbn"
        start = _with_local_layers(self.weights, before) if fedbn else self.weights
        pull = _pull(study, self.weights, self.received, before)
        if private is None:
            pull = replace(pull, grad_clip=study.training.grad_clip)
        gradients = self._plain() if private is None else private
        moments = before.get("moments")
        return self.learner.train(start, gradients, self.stretch, moments, pull, self.seed)

    def _personal(self) -> dict[str, Arrays]:
        study = self.learner.study
        pull = Pull(study.strategy.ditto_lambda, self.weights, grad_clip=study.training.grad_clip)
        start = self.before.get("personal") or self.weights
        moments = self.before.get("personal_moments")
        trained = self.learner.train(start, self._plain(), self.stretch, moments, pull, self.seed)
        kept: dict[str, Arrays] = {"personal": trained.weights}
        if study.training.optimizer_state == "keep":
            kept["personal_moments"] = trained.moments
        return kept

    def _plain(self) -> Iterable[Tensor]:
        learner = self.learner
        size = learner.study.training.batch_size
        return learner.gradients(self.batches.of(self.stretch, size, learner.device))


def weights_to_evaluate(study: Study, learner: Learner, weights: Arrays, state: State) -> Arrays:
    """What a site would use itself: the personal model under ditto, its own norms under fedbn."""
    if study.strategy.name == "ditto" and "personal" in state:
        return state["personal"]
    if study.strategy.name == "fedbn":
        return _with_local_layers(weights, state)
    return weights


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


def _with_local_layers(weights: Arrays, state: State) -> Arrays:
    return {**weights, **state.get("layers", {})}
