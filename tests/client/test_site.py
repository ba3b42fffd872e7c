from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import tiny

from fedvox.client.site import Roster, Site
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.training.learner import Learner
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.errors import Refusal
from fedvox.common.messages import Kind, Reply, Request
from fedvox.common.study import Study, contract_hash, dump_study, study_hash
from fedvox.common.tasks.task import initial_weights

ROSTER = Roster({"train": (("c0", "c1"), ("c2",), ("c3",)), "test": (("c4",), ("c5",))})


def site_for(study: Study, store: Store, home: Path, roster: Roster = ROSTER) -> Site:
    state = SiteState(home / "state", study_hash(study))
    return Site("north", roster, store, state, contract_hash(study))


def request(study: Study, kind: Kind, number: int, weights: Arrays, **groups: Arrays) -> Request:
    arrays = {"weights": weights, **groups}
    return Request(kind, dump_study(study), number, sha256_of(weights), arrays=arrays)


def train_twice(
    study: Study, store: Store, home: Path, **groups: Arrays
) -> tuple[list[Reply], Learner, Site]:
    """Rounds 1 and 2 from the same weights: a difference can only come from what was kept."""
    site, learner, weights = site_for(study, store, home), Learner(study), initial_weights(study)
    replies = [site.answer(request(study, "train", n, weights, **groups), learner) for n in (1, 2)]
    assert [reply.refusal for reply in replies] == [None, None]
    return replies, learner, site


def test_the_same_request_gives_the_same_answer_whatever_came_between(
    store: Store, tmp_path: Path
) -> None:
    study = tiny("training.optimizer_state=keep")
    (first, second), learner, site = train_twice(study, store, tmp_path)
    weights = initial_weights(study)
    again = site.answer(request(study, "train", 2, weights), learner)
    assert sha256_of(again.arrays["update"]) == sha256_of(second.arrays["update"])
    assert sha256_of(first.arrays["update"]) != sha256_of(second.arrays["update"])
    fresh = site_for(study, store, tmp_path).answer(
        request(study, "train", 2, weights), Learner(study)
    )
    assert sha256_of(fresh.arrays["update"]) == sha256_of(second.arrays["update"])


def test_a_site_describes_itself_by_counts_only(study: Study, store: Store, tmp_path: Path) -> None:
    reply = site_for(study, store, tmp_path).answer(Request("describe", dump_study(study)), None)
    assert reply.facts["patients_train"] == 3
    assert reply.facts["contract"] == contract_hash(study)
    assert set(reply.facts) == {"patients_train", "patients_test", "contract", "fedvox"}


def test_evaluation_sends_a_tally(study: Study, store: Store, tmp_path: Path) -> None:
    learner, weights = Learner(study), initial_weights(study)
    site = site_for(study, store, tmp_path)
    reply = site.answer(request(study, "evaluate", 1, weights), learner)
    assert reply.examples == 2
    expected = learner.evaluate(weights, store, ("c4", "c5"))
    assert sha256_of(reply.arrays["tally"]) == sha256_of(expected)


def refusal(site: Site, asked: Request, learner: Learner) -> Refusal | None:
    reply = site.answer(asked, learner)
    assert not reply.arrays and not reply.figures
    return reply.refusal


def test_what_must_not_be_done_is_refused_with_a_code_and_nothing_else(
    study: Study, store: Store, tmp_path: Path
) -> None:
    weights, learner = initial_weights(study), Learner(study)
    site = site_for(study, store, tmp_path)
    good = request(study, "train", 1, weights)
    assert refusal(site, replace(good, weights_sha256="0" * 64), learner) is Refusal.WEIGHTS
    assert refusal(site, replace(good, study="[oops]\nx = 1"), learner) is Refusal.STUDY
    other = tiny("data.window=[0.0, 1.0]")
    assert refusal(site, request(other, "train", 1, weights), learner) is Refusal.CONTRACT
    empty = site_for(study, store, tmp_path, Roster({}))
    assert refusal(empty, good, learner) is Refusal.EMPTY
    nan = {name: np.full_like(w, np.nan) for name, w in weights.items()}
    assert refusal(site, request(study, "train", 1, nan), learner) is Refusal.NOT_FINITE
    for kind in ("train", "evaluate"):
        for number in (-1, study.training.rounds + 1):  # more than was agreed to
            assert refusal(site, request(study, kind, number, weights), learner) is Refusal.STUDY


def test_an_unexpected_error_leaves_as_a_code_and_stays_in_the_log(
    study: Study, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roster = Roster({"train": (("patient-Meier",),)})  # a case the store does not have
    site, weights = site_for(study, store, tmp_path, roster), initial_weights(study)
    reply = site.answer(request(study, "train", 1, weights), Learner(study))
    assert reply.refusal is Refusal.INTERNAL
    assert "Meier" not in repr(reply)
    assert "patient-Meier" in caplog.text


def test_fedbn_sends_no_norm_layers_and_goes_on_with_its_own(store: Store, tmp_path: Path) -> None:
    study = tiny("strategy.name=fedbn")
    replies, learner, _ = train_twice(study, store, tmp_path)
    norms = learner.norm_names()
    assert norms
    assert not norms & replies[0].arrays["update"].keys()
    kept = SiteState(tmp_path / "state", study_hash(study)).before(2)
    assert kept["layers"].keys() == norms


def test_scaffold_follows_option_two_of_the_paper(store: Store, tmp_path: Path) -> None:
    study = tiny(
        "strategy.name=scaffold", "training.optimizer=sgd", "training.schedule=constant",
        "training.warmup=0.0", "training.lr=0.01", "training.optimizer_state=reset",
    )  # fmt: skip
    shared = {name: np.full_like(w, 0.125) for name, w in initial_weights(study).items()}
    replies, _, _ = train_twice(study, store, tmp_path, control=shared)
    state = SiteState(tmp_path / "state", study_hash(study))
    own = state.before(2)["control"]
    for name, update in replies[0].arrays["update"].items():
        # c_site = 0 - c + (x - y) / (K * rate), K = 3 steps
        expected = -shared[name] - update / (3 * 0.01)
        np.testing.assert_allclose(own[name], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(replies[0].arrays["control"][name], own[name])
        later = state.before(3)["control"][name]
        change = replies[1].arrays["control"][name]
        np.testing.assert_allclose(later, np.asarray(own[name]) + change, rtol=1e-5, atol=1e-6)


def test_ditto_keeps_a_personal_model_and_sends_what_fedavg_would(
    store: Store, tmp_path: Path
) -> None:
    ditto, plain = tiny("strategy.name=ditto"), tiny()
    replies, learner, site = train_twice(ditto, store, tmp_path / "ditto")
    same, _, _ = train_twice(plain, store, tmp_path / "plain")
    assert sha256_of(replies[0].arrays["update"]) == sha256_of(same[0].arrays["update"])
    personal = SiteState(tmp_path / "ditto/state", study_hash(ditto)).before(3)["personal"]
    weights = initial_weights(ditto)
    reply = site.answer(request(ditto, "evaluate", 2, weights), learner)
    expected = learner.evaluate(personal, store, ("c4", "c5"))
    assert sha256_of(reply.arrays["tally"]) == sha256_of(expected)


def test_state_before_the_newest_round_is_kept_and_older_is_dropped(
    study: Study, tmp_path: Path
) -> None:
    state = SiteState(tmp_path, study_hash(study))
    for number in (1, 2, 3):
        state.keep(number, {"moments": {"a": np.array([float(number)])}})
    assert state.before(4)["moments"]["a"] == [3.0]
    assert state.before(3)["moments"]["a"] == [2.0]
    assert state.before(2) == {}
    assert SiteState(tmp_path, "another study").before(4) == {}
