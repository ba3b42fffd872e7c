"""A dataset against a study: everything that can be unfit."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from command import fedvox
from datasets import PATIENTS, add, content, dataset
from small import tiny
from trainers import give_identity, new_home

from fedvox.client.check import data, permission
from fedvox.client.check.finding import Line, look_at
from fedvox.client.check.visit import Visit
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place
from fedvox.client.policy.signature import policy_file, sign_policy
from fedvox.common.errors import Refusal
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.study import study_hash


def looked(home: Path, *settings: str, spec: str = "dataset:d") -> dict[str, Line]:
    visit = Visit(home, tiny("task.classes=['background', 'lesion']", *settings), spec)
    return {line.name: line for line in look_at(visit, (*data.CHECKS, *permission.CHECKS))}


def levels(lines: dict[str, Line]) -> dict[str, str]:
    return {name: str(line.finding.level) for name, line in lines.items()}


def test_a_dataset_that_fits(tmp_path: Path) -> None:
    dataset(tmp_path, cases=20)
    found = looked(tmp_path)
    assert {level for name, level in levels(found).items() if name != "policy.approval"} == {
        "green"
    }
    assert "lesion" in found["data.classes"].finding.text
    with Manifest(Place(tmp_path, "d").manifest) as manifest:
        keys = [case.key for case in manifest.cases(1)]
        assert manifest.history.uses_of(keys) == {}  # looking is no use
    assert not (tmp_path / "ledger").exists() and not (tmp_path / "studies").exists()


def test_no_data_or_none_of_that_name(tmp_path: Path) -> None:
    assert levels(looked(tmp_path, spec=""))["data.source"] == "red"
    found = looked(tmp_path)
    assert levels(found)["data.source"] == "red" and "data.patients" not in found
    found = looked(tmp_path, "data.source=sites", spec="phantom:1")
    assert levels(found)["data.source"] == "red"
    assert found["data.source"].finding.shared == Refusal.EMPTY.sentence


def test_too_few_patients_or_an_empty_split(tmp_path: Path) -> None:
    dataset(tmp_path, cases=3)
    give_identity(tmp_path)
    found = looked(tmp_path, "data.test=0.0", "data.validation=0.0")
    assert levels(found)["data.patients"] == levels(found)["data.splits"] == "green"
    policy_file(tmp_path).write_text("[participation]\nleast_patients = 3\n")
    sign_policy(tmp_path)
    found = looked(tmp_path, "data.test=0.0", "data.validation=0.0")
    assert levels(found)["data.patients"] == "red" and levels(found)["policy.verdict"] == "red"
    assert "too few" in found["data.patients"].finding.shared
    empty = looked(tmp_path, "data.test=0.01", "data.validation=0.01")
    assert levels(empty)["data.splits"] == "yellow"


def test_a_promise_of_privacy_wants_more_patients(tmp_path: Path) -> None:
    dataset(tmp_path, cases=20)
    found = looked(tmp_path, "privacy.mode=patient", "privacy.epsilon=8")
    assert levels(found)["data.patients"] == "yellow"


def test_labels_that_the_study_does_not_know(tmp_path: Path) -> None:
    dataset(tmp_path, cases=6)
    made = content(30)
    nines = dataclasses.replace(
        made,
        label=np.asarray(made.label) * 9,
        facts=dataclasses.replace(made.facts, values=(0, 9)),
    )
    with Intake(Place(tmp_path, "d")) as intake:
        assert not add(intake, 30, PATIENTS[9], nines)
        intake.form_version()
    found = looked(tmp_path)
    assert levels(found)["data.label_map"] == "red"
    assert "9 in 1 cases" in found["data.label_map"].finding.text
    assert levels(found)["data.contract"] == "yellow"
    assert "9" not in found["data.label_map"].finding.shared
    mapped = looked(tmp_path, "data.label_map={'0' = 0, '1' = 1, '9' = 1}")
    assert levels(mapped)["data.label_map"] == levels(mapped)["data.contract"] == "green"


def test_a_class_that_nobody_has(tmp_path: Path) -> None:
    dataset(tmp_path, cases=20)
    found = looked(tmp_path, "task.classes=['background', 'lesion', 'stent']")
    assert levels(found)["data.classes"] == "yellow"
    assert "stent 0" in found["data.classes"].finding.text
    assert "stent" not in found["data.classes"].finding.shared


def test_geometry_far_from_the_contract(tmp_path: Path) -> None:
    dataset(tmp_path, cases=8)
    found = looked(tmp_path, "data.spacing=[3, 1, 1]", "data.patch=[8, 16, 16]")
    assert levels(found)["data.spacing"] == "yellow" and levels(found)["data.patch"] == "yellow"
    assert "3 times" in found["data.spacing"].finding.text


def test_a_window_that_misses_the_images(tmp_path: Path) -> None:
    dataset(tmp_path, cases=8)  # about 0 and about 1000
    assert levels(looked(tmp_path, "data.window=[-200, 1200]"))["data.intensity"] == "green"
    found = looked(tmp_path, "data.window=[5000, 6000]")
    assert levels(found)["data.intensity"] == "red"
    assert levels(looked(tmp_path, "data.window=[400, 410]"))["data.intensity"] == "yellow"


def test_a_policy_that_does_not_hold(tmp_path: Path) -> None:
    dataset(tmp_path, cases=8)
    policy_file(tmp_path).write_text("[training]\nmost_rounds = 1\n")
    found = looked(tmp_path)
    assert levels(found)["policy.signed"] == "red" and "policy.verdict" not in found
    give_identity(tmp_path)
    sign_policy(tmp_path)
    found = looked(tmp_path)
    assert levels(found)["policy.verdict"] == "red"
    assert "training.most_rounds" in found["policy.verdict"].finding.shared
    study = tiny("task.classes=['background', 'lesion']")
    policy_file(tmp_path).write_text(f"[studies]\nadmit = ['{study_hash(study)}']\n")
    sign_policy(tmp_path)
    assert levels(looked(tmp_path))["policy.approval"] == "green"


def test_what_is_left_of_the_budget(tmp_path: Path) -> None:
    dataset(tmp_path, cases=20)
    give_identity(tmp_path)
    new_home(tmp_path)
    private = ("privacy.mode=patient", "privacy.epsilon=3.0")
    found = looked(tmp_path, *private)
    assert (
        levels(found)["policy.budget"] == "green"
        and "0 of 16" in found["policy.budget"].finding.text
    )
    policy_file(tmp_path).write_text(
        "[privacy]\nmost_epsilon_life = 4.0\n[cohort]\nrelease = 'counts'\n"
    )
    sign_policy(tmp_path)
    assert levels(looked(tmp_path, *private))["policy.budget"] == "green"
    spent = fedvox("site", "cohort", "--dataset", "d", "--epsilon", "2", "--home", tmp_path)
    assert spent.status == 0, spent.err
    assert levels(looked(tmp_path, *private))["policy.budget"] == "yellow"
    assert "policy.budget" not in looked(tmp_path)


def test_the_report_to_share_holds_nothing_that_was_planted(tmp_path: Path) -> None:
    """Names in every place that a check looks at; none of them, nor an exact count, gets out."""
    home = new_home(tmp_path / "QXHOME0ZKJ", data="dataset:QXSET1ZKJ")
    give_identity(home)
    version = dataset(home, cases=20, name="QXSET1ZKJ")
    made = content(40)
    facts = dataclasses.replace(
        made.facts, values=(0, 77), names={77: "QXLABEL2ZKJ"},
        attributes={"manufacturer": "QXMAKER3ZKJ"},
    )  # fmt: skip
    with Intake(Place(home, "QXSET1ZKJ")) as intake:
        label = np.asarray(made.label) * 77
        assert not add(
            intake, 40, PATIENTS[19], dataclasses.replace(made, facts=facts, label=label)
        )
        intake.form_version()
    study = tmp_path / "study.toml"
    settings = [
        "task.classes=['background', 'lesion']",
        "data.source=sites",
        "data.patch=[8, 8, 8]",
    ]
    settings += ["model.channels=[4, 8]", "training.precision=fp32", "data.window=[37.123, 1041.7]"]
    study.write_text("")
    words = [word for setting in settings for word in ("--set", setting)]
    shared = tmp_path / "shared.txt"
    said = fedvox("site", "check", study, *words, "--home", home, "--share", shared)
    assert said.status == 1 and "QXSET1ZKJ" in said.out and "77 in 1 cases" in said.out
    text = shared.read_text()
    planted = ["QX", "ZKJ", "77", str(tmp_path), version.name, version.fingerprint[:12], "2.25."]
    planted += ["37.12", "1041", "localhost", *PATIENTS]
    assert [word for word in planted if word in text] == []
    (exact,) = re.findall(r"(\d+) patients to train on", said.out)
    assert bucketed(int(exact)) != int(exact)  # or the next line would prove nothing
    assert f"about {bucketed(int(exact))} to train on" in text and f" {exact} " not in text
    assert "does not fit" in text and "berlin" in text
    assert oct(shared.stat().st_mode)[-1] in "04"


@pytest.mark.parametrize("name", ["none.toml", "bad.toml"])
def test_a_study_that_is_none_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.toml").write_text("[training]\nrouns = 3\n")
    said = fedvox("site", "check", tmp_path / name, "--home", tmp_path)
    assert said.status == 2 and name in said.err
