"""The dry run and the trainer say the same, rule by rule, and a changed policy holds at once."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from command import fedvox
from trainers import approve, give_identity, new_home, phantoms

from fedvox.client.policy.approvals import Approvals
from fedvox.client.policy.signature import policy_file, sign_policy, signature_file
from fedvox.client.trainer.permission import Permission
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.study import dump_study

PATIENTS = 40
STUDY = phantoms(
    "privacy.mode=patient", "privacy.epsilon=2.0", "privacy.delta=1e-3", "training.lr=0.01",
    "participation.min_sites=2", "training.rounds=4", "training.local_steps=2",
)  # fmt: skip
RULES = [
    ("[task]\nkinds = ['segmentation']", "[task]\nkinds = ['classification']", Refusal.POLICY),
    ("[task]\nmodels = ['unet']", "[task]\nmodels = ['segresnet']", Refusal.POLICY),
    ("[task]\nmost_parameters = {n}", "[task]\nmost_parameters = {n_less}", Refusal.POLICY),
    ("[task]\nmost_patch_voxels = 32768", "[task]\nmost_patch_voxels = 32767", Refusal.POLICY),
    ("[training]\nmost_rounds = 4", "[training]\nmost_rounds = 3", Refusal.POLICY),
    ("[training]\nmost_local_steps = 2", "[training]\nmost_local_steps = 1", Refusal.POLICY),
    ("[training]\nleast_lr = 0.01", "[training]\nleast_lr = 0.0101", Refusal.POLICY),
    ("[training]\nmost_lr = 0.01", "[training]\nmost_lr = 0.0099", Refusal.POLICY),
    ("[privacy]\nrequired = 'patient'", "", None),
    ("[privacy]\nmost_epsilon = 2.0", "[privacy]\nmost_epsilon = 1.99", Refusal.PRIVACY),
    ("[privacy]\nlargest_delta = 1e-3", "[privacy]\nlargest_delta = 9e-4", Refusal.PRIVACY),
    ("[privacy]\nleast_noise = 0.1", "[privacy]\nleast_noise = 1000.0", Refusal.PRIVACY),
    ("[participation]\nleast_patients = 40", "[participation]\nleast_patients = 41", Refusal.POLICY),
    ("[participation]\nleast_sites = 2", "[participation]\nleast_sites = 3", Refusal.POLICY),
    ("[resources]\nmost_threads = 1", "", None),
    ("[when]\ndays = ['{today}']", "[when]\ndays = ['{tomorrow}']", Refusal.HOURS),
]  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = new_home(tmp_path_factory.mktemp("site") / "h")
    give_identity(home)
    approve(home, STUDY)
    (home / "study.toml").write_text(dump_study(STUDY))
    return home


@pytest.fixture(scope="module")
def permission(home: Path) -> Permission:
    """One for all: as in a trainer that runs while people change the policy."""
    return Permission(home, Approvals(home, lambda kind, fields: None))


def filled(policy: str) -> str:
    from fedvox.client.policy.parameters import count_parameters

    count, today = count_parameters(STUDY), datetime.now().astimezone().weekday()
    told = {
        "n": count,
        "n_less": count - 1,
        "today": DAYS[today],
        "tomorrow": DAYS[(today + 1) % 7],
    }
    for name, value in told.items():
        policy = policy.replace(f"{{{name}}}", str(value))
    return policy


def verdict_of_trainer(permission: Permission) -> Refusal | None:
    try:
        policy = permission.require(STUDY)
        permission.require_patients(STUDY, policy, PATIENTS)
    except SiteError as error:
        return error.refusal
    return None


def verdict_of_dry_run(home: Path) -> Refusal | None:
    said = fedvox(
        "site", "policy", "test", home / "study.toml", "--home", home, "--json",
        "--patients", str(PATIENTS),
    )  # fmt: skip
    told = json.loads(said.out.splitlines()[-1])
    broken = [verdict for verdict in told["verdicts"] if not verdict["passed"]]
    assert told["allowed"] is (not broken) is (said.status == 0)
    return Refusal(broken[0]["refusal"]) if broken else None


@pytest.mark.parametrize(("at_bound", "beyond", "refusal"), RULES, ids=[r[0][:30] for r in RULES])
def test_both_allow_at_the_bound_and_forbid_beyond(
    home: Path, permission: Permission, at_bound: str, beyond: str, refusal: Refusal | None
) -> None:
    for text, expected in ((at_bound, None), (beyond, refusal)):
        policy_file(home).write_text(filled(text) + "\n")
        assert verdict_of_trainer(permission) is Refusal.POLICY  # changed, and not signed yet
        sign_policy(home)
        assert verdict_of_trainer(permission) is verdict_of_dry_run(home) is expected, text


def test_a_policy_that_is_not_as_it_was_signed_stops_everything(
    home: Path, permission: Permission
) -> None:
    policy_file(home).write_text("# ours\n")
    sign_policy(home)
    assert verdict_of_trainer(permission) is None
    policy_file(home).write_text("# theirs\n")
    assert verdict_of_trainer(permission) is Refusal.POLICY
    policy_file(home).unlink()  # not the defaults: there was one
    assert verdict_of_trainer(permission) is Refusal.POLICY
    signature_file(home).unlink()
    assert verdict_of_trainer(permission) is None


def test_what_cannot_be_judged_is_named(home: Path) -> None:
    said = fedvox("site", "policy", "test", home / "study.toml", "--home", home)
    assert "?   participation.least_patients: give --patients N" in said.out
    assert "privacy: noise, epsilon and delta follow from --patients N" in said.out
    said = fedvox("site", "policy", "test", home / "study.toml", "--home", home, "--patients", "40")
    assert "least_patients: give" not in said.out and "?   privacy.most_epsilon_life" in said.out
