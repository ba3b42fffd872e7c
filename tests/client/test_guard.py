"""A private round at a site, from the request to the bytes: charged first, once, and the same."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small import tiny

from fedvox.client.guard import Guard
from fedvox.client.ledger.versions import open_ledger
from fedvox.client.ledger.work import Caps
from fedvox.client.outbox import Outbox
from fedvox.client.site import Roster, Site
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.training.learner import Learner
from fedvox.client.training.private import timing
from fedvox.client.training.private.noise import NoiseFor, seeded_noise, system_noise
from fedvox.client.training.private.plan import Plan
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.errors import Refusal
from fedvox.common.messages import Kind, Reply, Request
from fedvox.common.study import Study, contract_hash, dump_study, load_study, study_hash
from fedvox.common.tasks.task import initial_weights

PRIVATE = ("privacy.mode=patient", "privacy.epsilon=8", "training.rounds=2")
ROSTER = Roster({
    "train": (("c0", "c1"), ("c2",), ("c3",), ("c4",), ("c1",), ("c2",), ("c3",)),
    "test": (("c5",),),
})  # fmt: skip
LOOSE = Caps(100.0, 100.0, 0.1)


def study_with(*settings: str) -> Study:
    return tiny(*PRIVATE, *settings)


def site_for(
    study: Study,
    store: Store,
    home: Path,
    caps: Caps = LOOSE,
    shows_figures: bool = False,
    noise: NoiseFor = system_noise,
    roster: Roster = ROSTER,
) -> Site:
    guard = Guard(
        partial(open_ledger, home, "images", "v1", caps),
        Outbox(home / "outbox"),
        noise,
        shows_figures,
    )
    state = SiteState(home / "state", study_hash(study))
    return Site("north", roster, store, state, contract_hash(study), guard)


def ask(site: Site, study: Study, number: int, kind: Kind = "train") -> Reply:
    weights: Arrays = initial_weights(study)
    asked = Request(
        kind, dump_study(study), number, sha256_of(weights), arrays={"weights": weights}
    )
    return site.answer(asked, Learner(study))


def rows(home: Path) -> list[str]:
    with open_ledger(home, "images", "v1", LOOSE) as ledger:
        ledger.head()
        return [str(link.entry["kind"]) for link in _links(ledger)]


def _links(ledger: object) -> list[object]:
    from fedvox.client.ledger import schema

    return list(schema.links_from(ledger._connection, 1))  # type: ignore[attr-defined]


def test_the_same_request_is_charged_once_and_gets_the_same_bytes(
    store: Store, tmp_path: Path
) -> None:
    """With noise that nobody could draw again."""
    study = study_with()
    first = ask(site_for(study, store, tmp_path), study, 1)
    assert first.refusal is None
    again = ask(site_for(study, store, tmp_path), study, 1)
    assert sha256_of(again.arrays["update"]) == sha256_of(first.arrays["update"])
    assert again.figures == first.figures
    assert rows(tmp_path) == ["opened", "reserved", "released"]


def test_what_leaves_is_covered_or_constant(store: Store, tmp_path: Path) -> None:
    study = study_with()
    reply = ask(site_for(study, store, tmp_path), study, 1)
    assert set(reply.figures) == {
        "lr", "epsilon", "delta", "noise_multiplier", "sample_rate", "steps", "clip_norm",
    }  # fmt: skip
    assert reply.examples == 5, "seven patients, rounded down"
    described = ask(site_for(study, store, tmp_path), study, 0, "describe")
    assert (described.examples, described.facts["patients_train"]) == (5, 5)
    assert described.facts["patients_test"] == 1


def test_metrics_do_not_leave(store: Store, tmp_path: Path) -> None:
    study = study_with()
    assert ask(site_for(study, store, tmp_path), study, 1, "evaluate").refusal is Refusal.PRIVACY
    shown = ask(site_for(study, store, tmp_path, shows_figures=True), study, 1, "evaluate")
    assert shown.refusal is None and "tally" in shown.arrays


def test_a_site_without_a_ledger_takes_no_part(store: Store, tmp_path: Path) -> None:
    study = study_with()
    state = SiteState(tmp_path / "state", study_hash(study))
    site = Site("north", ROSTER, store, state, contract_hash(study))
    for kind in ("describe", "train", "evaluate"):
        assert ask(site, study, 1, kind).refusal is Refusal.PRIVACY


class Sealed(Store):
    """Nobody may open an image."""

    def get(self, key: str) -> object:  # type: ignore[override]
        raise AssertionError(f"{key} was opened")


@pytest.mark.parametrize(
    ("settings", "caps", "refusal"),
    [
        ((), replace(LOOSE, least_noise=50.0), Refusal.PRIVACY),
        ((), Caps(0.1, 100.0, 0.1), Refusal.BUDGET),
        ((), Caps(100.0, 0.1, 0.1), Refusal.BUDGET),
        (("privacy.delta=0.5",), LOOSE, Refusal.PRIVACY),
    ],
    ids=["noise floor", "study cap", "life cap", "delta"],
)
def test_what_the_site_does_not_allow_is_refused_before_an_image_is_opened(
    settings: tuple[str, ...], caps: Caps, refusal: Refusal, store: Store, tmp_path: Path
) -> None:
    study = study_with(*settings)
    site = site_for(study, Sealed(store.folder, "contract"), tmp_path, caps)
    assert ask(site, study, 1).refusal is refusal
    assert rows(tmp_path) == ["opened", "refused"]


def test_a_balanced_classifier_opens_nothing_before_it_is_charged_either(
    store: Store, tmp_path: Path
) -> None:
    """Balancing looks at the cases' classes."""
    study = load_study(
        settings=[
            *PRIVATE, "task.kind=classification", "task.classes=['a', 'b']", "model.channels=[4]",
            "data.size=[8, 8, 8]", "data.patch=[8, 8, 8]", "training.device=cpu",
        ]
    )  # fmt: skip
    assert study.training.balance
    site = site_for(study, Sealed(store.folder, "contract"), tmp_path, Caps(0.1, 100.0, 0.1))
    assert ask(site, study, 1).refusal is Refusal.BUDGET


def test_at_the_cap_a_site_goes_no_further(store: Store, tmp_path: Path) -> None:
    study = study_with("training.rounds=9")
    first = ask(site_for(study, store, tmp_path), study, 1)
    caps = Caps(first.figures["epsilon"] * 1.01, 100.0, 0.1)
    assert ask(site_for(study, store, tmp_path, caps), study, 2).refusal is Refusal.BUDGET
    assert ask(site_for(study, store, tmp_path, caps), study, 1).refusal is None
    assert rows(tmp_path) == ["opened", "reserved", "released", "refused"]


def test_an_update_that_is_not_what_was_charged_stays_here(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a planted bug: the noise is left out after it was counted."""
    from fedvox.client.training.private import noise

    monkeypatch.setattr(noise.Noise, "gaussian", lambda self, n: torch.zeros(n).double())
    study = study_with()
    reply = ask(site_for(study, store, tmp_path), study, 1)
    assert reply.refusal is Refusal.UNSAFE and not reply.arrays and not reply.figures
    assert rows(tmp_path) == ["opened", "reserved", "refused"], "it stays charged"


def test_a_second_round_goes_on_with_the_moments_of_the_first(store: Store, tmp_path: Path) -> None:
    study = study_with("training.optimizer_state=keep", "privacy.adaptive_clip=true")
    one = ask(site_for(study, store, tmp_path), study, 1)
    two = ask(site_for(study, store, tmp_path), study, 2)
    assert two.figures["epsilon"] > one.figures["epsilon"]
    state = SiteState(tmp_path / "state", study_hash(study)).before(3)
    assert {"moments", "clip"} <= set(state)


def test_a_network_that_cannot_be_private_is_refused_before_anything_is_charged(
    store: Store, tmp_path: Path
) -> None:
    study = study_with()
    learner = Learner(study)
    learner.model.add_module("mixing", torch.nn.BatchNorm3d(2))
    weights: Arrays = initial_weights(study)
    asked = Request("train", dump_study(study), 1, sha256_of(weights), arrays={"weights": weights})
    reply = site_for(study, store, tmp_path).answer(asked, learner)
    assert reply.refusal is Refusal.PRIVACY
    assert not (tmp_path / "ledger").exists()


def test_the_fastest_way_found_by_trying_is_used_and_gives_the_same_sums(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain descent, with the same noise: what differs is rounding."""
    study = study_with(
        "privacy.epsilon=0", "privacy.noise_multiplier=0.5", "training.optimizer=sgd",
        "privacy.engine=measured",
    )  # fmt: skip
    updates = []
    for plan in (Plan("loop"), Plan("vmap")):
        monkeypatch.setattr(timing, "plan_by_timing", lambda *tried, plan=plan: plan)
        noise, caps = seeded_noise(0, "north"), Caps(1e6, 1e6, 0.1)
        reply = ask(site_for(study, store, tmp_path / plan.engine, caps, noise=noise), study, 1)
        assert reply.refusal is None
        updates.append(reply.arrays["update"])
    one, other = updates
    scale = max(abs(one[name]).max() for name in one)
    assert 0 < max(abs(one[name] - other[name]).max() for name in one) < 1e-2 * scale


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_patient_without_a_finite_loss_does_not_show(
    value: float, store: Store, tmp_path: Path
) -> None:
    """Were the round refused, the refusal would say that this one was drawn."""
    case = store.get("c0")
    store.put(f"bad-{value}", replace(case, image=np.full_like(case.image, value)))
    roster = Roster({"train": ((f"bad-{value}",), *ROSTER.people["train"][1:])})
    study = study_with("privacy.patients_per_step=7")
    site = site_for(study, store, tmp_path, shows_figures=True, roster=roster)
    reply = ask(site, study, 1)
    assert reply.refusal is None and np.isfinite(reply.figures["loss"])
    assert all(np.isfinite(update).all() for update in reply.arrays["update"].values())
    assert rows(tmp_path) == ["opened", "reserved", "released"]
