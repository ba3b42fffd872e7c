"""`fedvox privacy audit` as people call it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from command import cached_in, fedvox, simulate

from fedvox.client.training.private.noise import Noise

strong = Noise.gaussian


def weaker(self: Noise, count: int) -> npt.NDArray[np.float64]:
    return 0.5 * strong(self, count)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("run")
    with cached_in(home / "cache"):
        assert simulate(home / "run", "--quiet", "--epsilon=8").status == 0
        yield home / "run"


def test_the_command_says_its_verdict_and_writes_it_down(run: Path) -> None:
    said = fedvox("privacy", "audit", run, "--canaries=200", "--iterations=4")
    assert said.status == 0 and not said.err
    first, *rest = said.out.splitlines()
    assert first.startswith(f"{run}: nothing found at site-")
    assert any(line.startswith("membership") for line in rest)
    record = json.loads((run / "privacy_audit.json").read_text())
    assert record["verdict"] == "nothing found" and record["attacked"]["canaries"] == 200
    membership = record["membership"]
    assert 0 <= membership["epsilon_lower_bound"] <= membership["epsilon_charged"]
    assert record["study"]["epsilon"] == pytest.approx(8, rel=2e-3)


def test_a_violation_is_status_1_and_json_is_one_object(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noise, "gaussian", weaker)
    words = ("--canaries=200", "--iterations=0", "--json", "--site=site-2", "--seed=3")
    said = fedvox("privacy", "audit", run, *words)
    assert said.status == 1 and not said.err
    record = json.loads(said.out)
    assert record["verdict"] == "violation" and "noise strength" in record["found"]
    assert record["site"] == "site-2" and record["attacked"]["refused"]


@pytest.mark.parametrize(
    "words, says",
    [
        (("--site=site-9",), "did you mean"),
        (("--canaries=100000",), "quarter"),
        (("--canaries=0",), "from 1"),
        (("--steps=0",), "--steps"),
        (("--guess-confidence=1",), "--confidence"),
    ],
)
def test_what_cannot_be_done_is_status_2(run: Path, words: tuple[str, ...], says: str) -> None:
    said = fedvox("privacy", "audit", run, *words)
    assert said.status == 2 and says in said.err and not said.out


def test_a_run_without_privacy_protects_nobody(tmp_path: Path) -> None:
    with cached_in(tmp_path / "cache"):
        assert simulate(tmp_path / "run", "--quiet", "--rounds=1").status == 0
        said = fedvox("privacy", "audit", tmp_path / "run")
    assert said.status == 2 and "protects nobody" in said.err
    assert not (tmp_path / "run" / "privacy_audit.json").exists()


def test_what_is_no_run_is_status_2(tmp_path: Path) -> None:
    assert fedvox("privacy", "audit", tmp_path).status == 2
