"""The policy's rules, one by one: what passes at the limit and fails just beyond it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from small import tiny

from fedvox.client.policy.check import admits, broken, check
from fedvox.client.policy.load import PolicyError, parse_policy, template
from fedvox.client.policy.parameters import count_parameters
from fedvox.client.policy.rules import Policy
from fedvox.client.training.learner import Learner
from fedvox.common.errors import Refusal
from fedvox.common.study import Study, study_hash

NOW = datetime(2026, 11, 20, 12, 0)  # a Friday
PRIVATE = ("privacy.mode=patient", "privacy.epsilon=2.0", "privacy.delta=1e-3")


def first_broken(policy: str, study: Study, patients: int | None = 40, now: datetime = NOW) -> Any:
    found = broken(check(study, parse_policy(policy), patients, now, 1000))
    return found and (found.rule, found.refusal)


def test_the_defaults_allow_an_ordinary_study() -> None:
    assert first_broken("", tiny()) is None
    assert first_broken("", tiny(*PRIVATE)) is None


@pytest.mark.parametrize(
    ("policy", "inside", "outside", "rule", "refusal"),
    [
        ("task.kinds=['segmentation']", (), ("task.kind=classification", "model.name=resnet18", "data.size=[8,8,8]"), "task.kinds", Refusal.POLICY),
        ("task.models=['unet']", (), ("model.name=segresnet",), "task.models", Refusal.POLICY),
        ("task.most_patch_voxels=512", (), ("data.patch=[8, 8, 9]",), "task.most_patch_voxels", Refusal.POLICY),
        ("training.most_rounds=2", (), ("training.rounds=3",), "training.most_rounds", Refusal.POLICY),
        ("training.most_local_steps=3", (), ("training.local_steps=4",), "training.most_local_steps", Refusal.POLICY),
        ("training.least_lr=0.001", ("training.lr=0.001",), ("training.lr=0.0009",), "training.least_lr", Refusal.POLICY),
        ("training.most_lr=0.01", ("training.lr=0.01",), ("training.lr=0.02",), "training.most_lr", Refusal.POLICY),
        ("participation.least_sites=5", ("participation.min_sites=5",), ("participation.min_sites=4",), "participation.least_sites", Refusal.POLICY),
        ("privacy.required='patient'", PRIVATE, (), "privacy.required", Refusal.PRIVACY),
        ("privacy.most_epsilon=2.0", PRIVATE, (*PRIVATE, "privacy.epsilon=2.1"), "privacy.most_epsilon", Refusal.PRIVACY),
        ("privacy.largest_delta=0.001", PRIVATE, (*PRIVATE, "privacy.delta=0.002"), "privacy.largest_delta", Refusal.PRIVACY),
        ("", PRIVATE, (*PRIVATE, "privacy.delta=0.02"), "privacy.largest_delta", Refusal.PRIVACY),
        ("privacy.least_noise=1.5\nprivacy.most_epsilon=100.0", (*PRIVATE, "privacy.noise_multiplier=1.5"), (*PRIVATE, "privacy.noise_multiplier=1.4"), "privacy.least_noise", Refusal.PRIVACY),
        ("resources.most_threads=2", ("simulation.threads=2",), ("simulation.threads=3",), "resources.most_threads", Refusal.POLICY),
    ],
)  # fmt: skip
def test_each_rule_passes_at_its_limit_and_forbids_beyond(
    policy: str, inside: tuple[str, ...], outside: tuple[str, ...], rule: str, refusal: Refusal
) -> None:
    assert first_broken(policy, tiny(*inside)) is None
    assert first_broken(policy, tiny(*outside)) == (rule, refusal)


def test_patients_parameters_and_hours() -> None:
    assert first_broken("participation.least_patients=40", tiny()) is None
    assert first_broken("participation.least_patients=41", tiny()) == (
        "participation.least_patients",
        Refusal.POLICY,
    )
    assert first_broken("participation.least_patients=41", tiny(), patients=None) is None
    assert first_broken("task.most_parameters=999", tiny()) == (
        "task.most_parameters",
        Refusal.POLICY,
    )
    assert first_broken("when.hours=['20:00-06:00']", tiny()) == ("when.hours", Refusal.HOURS)
    assert first_broken("when.hours=['20:00-06:00']", tiny(), now=NOW.replace(hour=21)) is None
    assert first_broken("when.days=['sat', 'sun']", tiny()) == ("when.hours", Refusal.HOURS)


def test_every_rule_of_the_file_is_looked_at() -> None:
    """A key in policy.toml that no verdict names would be a promise without effect."""
    verdicts = {v.rule for v in check(tiny(*PRIVATE), Policy(), 40, NOW, 1)}
    keys = {
        f"{t}.{k}" for t in Policy.model_fields for k in type(getattr(Policy(), t)).model_fields
    }
    elsewhere = {
        "studies.admit",  # admits()
        "store.keep",  # `fedvox site ingest --keep`
        "cohort.release",  # `fedvox site cohort`
        "cohort.least_cell",
        "when.days",  # with when.hours
        "privacy.most_epsilon_life",  # the ledger's caps
        "privacy.figures",  # at the release
        "resources.gpu_share",  # before each piece of work
    }
    assert keys - verdicts == elsewhere


def test_a_policy_admits_by_name_or_by_the_whole_hash() -> None:
    study = tiny()
    digest = study_hash(study)
    assert admits(study, parse_policy(f"studies.admit=['{digest}']"))
    assert admits(study, parse_policy(f"studies.admit=['{study.study.name}']"))
    assert not admits(study, parse_policy(f"studies.admit=['{digest[:12]}', 'other']"))
    assert not admits(study, Policy())


def test_parameters_are_those_of_the_network() -> None:
    study = tiny()
    real = sum(tensor.numel() for tensor in Learner(study).model.state_dict().values())
    assert count_parameters(study) == real


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[privacy]\nmost_epsilom = 1.0", ["line 2", "most_epsilom", "did you mean 'most_epsilon'?"]),
        ("[privaci]\nrequired = 'patient'", ["privaci", "did you mean 'privacy'?"]),
        ("[training]\nmost_rounds = 'many'", ["line 2", "training.most_rounds", '"many"']),
        ("[when]\nhours = ['8-17']", ["line 2", "when.hours", "20:00-06:00"]),
        ("[training]\nleast_lr = 2.0", ["line 2", "least_lr", "above most_lr"]),
        ("[privacy]\nfigures = 'some'", ["privacy.figures", "some"]),
        ("[privacy", ["not valid TOML"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_remedy(text: str, words: list[str]) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    for word in words:
        assert word in str(caught.value)


def test_the_template_is_the_defaults_with_every_key_explained() -> None:
    text = template()
    assert parse_policy(text) == Policy()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), line


def test_verdicts_say_both_numbers() -> None:
    (verdict,) = [
        v for v in check(tiny(), Policy(), 7, NOW) if v.rule == "participation.least_patients"
    ]
    assert "7" in verdict.reason
    assert "2" in verdict.reason
    assert replace(verdict, passed=False).refusal is Refusal.POLICY
