"""`fedvox site cohort`: the policy, the charge, the file."""

import hashlib
import json
from pathlib import Path

import pytest
from command import fedvox
from datasets import PATIENTS, dataset
from trainers import give_identity, new_home

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.ledger.places import places
from fedvox.client.ledger.summary import summarise
from fedvox.client.ledger.verify import look
from fedvox.client.policy.signature import policy_file, sign_policy
from fedvox.common.cohort.summary import read_summary

NOISY = "[cohort]\nrelease = 'histograms'\n[privacy]\nmost_epsilon = 3.0\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = new_home(tmp_path / "SecretWard7" / "home", data="dataset:mueller")
    give_identity(home)
    dataset(home, cases=20, name="mueller")
    return home


def allow(home: Path, text: str = "[cohort]\nrelease = 'histograms'\n") -> None:
    policy_file(home).write_text(text)
    sign_policy(home)


def test_nothing_leaves_unless_a_signed_policy_lets_it(home: Path) -> None:
    said = fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
    assert said.status == 2 and "cohort.release" in said.err
    policy_file(home).write_text("[cohort]\nrelease = 'counts'\n")
    said = fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
    assert said.status == 2 and "is not signed" in said.err
    allow(home, "[cohort]\nrelease = 'counts'\nleast_cell = 30\n")
    said = fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
    assert said.status == 2 and "fewer than 30 patients" in said.err
    allow(home, "[cohort]\nrelease = 'counts'\n[privacy]\nrequired = 'patient'\n")
    said = fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
    assert said.status == 2 and "--epsilon" in said.err
    assert not (home / "cohort").exists() and not places(home)


def test_counts_rounded_down(home: Path, tmp_path: Path) -> None:
    allow(home)
    out = tmp_path / "a.json"
    said = fedvox("site", "cohort", "--dataset", "mueller", "--out", out, "--home", home, "--json")
    assert said.status == 0 and said.events[-1]["release"] == "histograms"
    summary = read_summary(out)
    assert summary.site == "berlin" and summary.patients == 15  # of 19
    assert summary.words["cases"] == (15, 0, 0, 0)  # the one with two is like the others
    assert [(one.value, one.name, one.patients) for one in summary.labels] == [(1, "lesion", 15)]
    assert sum(summary.numbers["spacing_mm_0"]) == 15 and summary.noise is None
    text = out.read_text()
    for secret in ("mueller", "SecretWard7", str(home), "2.25.", "GE", *PATIENTS):
        assert secret not in text
    recorded = [json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()]
    assert "cohort-released" in str(recorded[-1])
    assert not places(home)  # nothing was charged


def test_noise_is_charged_once_and_up_to_the_cap(home: Path, tmp_path: Path) -> None:
    allow(home, NOISY)
    words = ["site", "cohort", "--dataset", "mueller", "--home", home, "--epsilon"]
    first, again = tmp_path / "1.json", tmp_path / "2.json"
    assert fedvox(*words, "2", "--out", first).status == 0
    assert fedvox(*words, "2", "--out", again).status == 0
    assert first.read_bytes() == again.read_bytes()
    summary = read_summary(first)
    assert summary.noise is not None and summary.noise.epsilon == 2.0
    (place,) = places(home)
    (study,) = summarise(look(place), 0).studies
    assert (study.name, study.charged, study.released) == ("cohort", 1, 1)
    assert 1.9 < study.spent.epsilon <= 2.0
    more = fedvox(*words, "2.5", "--out", tmp_path / "3.json")
    assert more.status == 1 and "privacy budget" in more.err and not (tmp_path / "3.json").exists()
    assert not look(place).findings


def test_what_makes_no_sense_is_told(home: Path) -> None:
    words = ["site", "cohort", "--dataset", "mueller", "--home", home]
    assert "must be a number" in fedvox(*words, "--epsilon", "-1").err
    assert "--classes" in fedvox(*words, "--classes", "a,b").err
    allow(home)
    assert "did you mean 'mueller'" in fedvox(*words[:3], "muller", *words[4:]).err


def test_what_stands_for_the_version_can_only_be_made_by_the_site(home: Path) -> None:
    """The fingerprint is a hash over images: whoever has them could find out who is in it."""
    allow(home)
    version = Dataset.open(home, "mueller").version
    names = []
    for _ in range(2):
        said = fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
        assert said.status == 0, said.err
        told = read_summary(home / "cohort" / "mueller.json")
        names.append(told.dataset)
        text = told.text()
        for guess in (
            version.fingerprint,
            hashlib.sha256(version.fingerprint.encode()).hexdigest(),
        ):
            assert guess[:24] not in text
        (home / "cohort" / "mueller.json").unlink()
    assert names[0] == names[1]  # the same version is the same
    (home / "identity" / "pseudonym.key").write_text("0" * 64 + "\n")
    fedvox("site", "cohort", "--dataset", "mueller", "--home", home)
    assert read_summary(home / "cohort" / "mueller.json").dataset != names[0]
