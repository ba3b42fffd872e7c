from dataclasses import replace

import numpy as np
import pytest
import torch
from small import tiny

from fedvox.client.store import Store
from fedvox.client.training.batches import Batches
from fedvox.client.training.learner import Learner, Pull, Trained
from fedvox.client.training.schedule import Stretch, rates
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.study import Study
from fedvox.common.tasks.task import initial_weights

KEYS = tuple(f"c{n}" for n in range(6))


def train(
    learner: Learner,
    store: Store,
    weights: Arrays,
    stretch: Stretch,
    moments: Arrays | None = None,
    pull: Pull | None = None,
) -> Trained:
    stream = Batches(learner.task, store, KEYS, 5).of(stretch, 2, learner.device)
    limited = replace(pull or Pull(), grad_clip=learner.study.training.grad_clip)
    return learner.train(weights, learner.gradients(stream), stretch, moments, limited)


def test_training_is_the_plain_loop_that_torch_users_write(study: Study, store: Store) -> None:
    weights = initial_weights(study)
    stretch = Stretch(4, 0.0, 1.0)
    learner = Learner(study)
    trained = train(learner, store, weights, stretch)

    model = learner.task.build().to(memory_format=torch.channels_last_3d)
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=study.training.weight_decay, betas=(0.9, 0.99), fused=True
    )
    stream = Batches(learner.task, store, KEYS, 5).of(stretch, 2, learner.device)
    losses = []
    for rate, (image, label) in zip(rates(study.training, stretch), stream, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = learner.task.loss(model(image), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), study.training.grad_clip)
        optimizer.step()
        losses.append(float(loss.detach()))
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(trained.weights[name], tensor.numpy(), err_msg=name)
        np.testing.assert_array_equal(trained.update[name], tensor.numpy() - weights[name])
    assert trained.loss == pytest.approx(np.mean(losses))


def test_a_used_learner_gives_the_same_bits_as_a_new_one(study: Study, store: Store) -> None:
    weights, stretch = initial_weights(study), Stretch(3, 0, 1)
    used = Learner(study)
    train(used, store, {k: w + 1 for k, w in weights.items()}, stretch)
    used.evaluate(weights, store, KEYS[:2])
    again = train(used, store, weights, stretch)
    assert sha256_of(again.update) == sha256_of(
        train(Learner(study), store, weights, stretch).update
    )


def test_two_stretches_with_kept_moments_are_one_long_stretch(study: Study, store: Store) -> None:
    weights, learner = initial_weights(study), Learner(study)
    whole = train(learner, store, weights, Stretch(4, 0, 1))
    first = train(learner, store, weights, Stretch(2, 0, 0.5))
    second = train(learner, store, first.weights, Stretch(2, 0.5, 1, 4), first.moments)
    assert sha256_of(second.weights) == sha256_of(whole.weights)
    forgetful = train(learner, store, first.weights, Stretch(2, 0.5, 1, 4))
    assert sha256_of(forgetful.weights) != sha256_of(whole.weights)


def test_training_lowers_the_loss(study: Study, store: Store) -> None:
    learner, weights = Learner(study), initial_weights(study)
    begin = train(learner, store, weights, Stretch(2, 0, 0.1)).loss
    later = train(learner, store, weights, Stretch(60, 0, 1))
    assert train(learner, store, later.weights, Stretch(2, 0.9, 1)).loss < 0.8 * begin


def sgd(store: Store, pull: Pull) -> tuple[Arrays, Arrays, float]:
    """(initial weights, update, rate) of one step of plain gradient descent."""
    study = tiny(
        "training.optimizer=sgd",
        "training.momentum=0.0",
        "training.weight_decay=0.0",
        "training.grad_clip=0.0",
    )
    weights = initial_weights(study)
    trained = train(Learner(study), store, weights, Stretch(1, 0.2, 0.3), None, pull)
    return weights, trained.update, trained.rate_sum


def test_a_correction_moves_the_step_by_rate_times_correction(store: Store) -> None:
    weights, plain, rate = sgd(store, Pull())
    correction = {name: np.full_like(w, 0.5) for name, w in weights.items()}
    _, corrected, _ = sgd(store, Pull(correction=correction))
    for name in weights:
        np.testing.assert_allclose(corrected[name], plain[name] - rate * 0.5, atol=1e-6)


def test_the_proximal_term_pulls_towards_the_anchor(store: Store) -> None:
    weights, plain, rate = sgd(store, Pull())
    anchor = {name: w - 2 for name, w in weights.items()}
    _, pulled, _ = sgd(store, Pull(mu=0.25, anchor=anchor))
    for name in weights:  # gradient of mu/2 |w - anchor|^2 is mu * 2 here
        np.testing.assert_allclose(pulled[name], plain[name] - rate * 0.25 * 2, atol=1e-6)


def test_numbers_that_stop_being_finite_are_a_refusal(study: Study, store: Store) -> None:
    weights = initial_weights(study)
    poisoned = {name: np.full_like(w, np.nan) for name, w in weights.items()}
    with pytest.raises(SiteError) as caught:
        train(Learner(study), store, poisoned, Stretch(1, 0, 1))
    assert caught.value.refusal is Refusal.NOT_FINITE


def test_weights_of_another_model_are_a_refusal(study: Study, store: Store) -> None:
    weights = initial_weights(study)
    name = next(iter(weights))
    for wrong in ({**weights, "more": weights[name]}, {**weights, name: np.zeros(3, np.float32)}):
        with pytest.raises(SiteError) as caught:
            train(Learner(study), store, wrong, Stretch(1, 0, 1))
        assert caught.value.refusal is Refusal.WEIGHTS


def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(study: Study, store: Store) -> None:
    learner, weights = Learner(study), initial_weights(study)
    whole = learner.evaluate(weights, store, KEYS)
    parts = [learner.evaluate(weights, store, KEYS[:2]), learner.evaluate(weights, store, KEYS[2:])]
    for name, array in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], array)
