"""Sites that cannot train, and numbers that are none: recorded, bounded, and nothing lost."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import cached_in, fedvox, simulate, summary

from fedvox.common.codec import encode
from fedvox.common.study import contract_hash, load_study, study_hash
from fedvox.server.checkpoint import Checkpoints


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


@pytest.fixture(scope="module")
def partition(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The rows of an ordinary run of three sites."""
    out = tmp_path_factory.mktemp("plain") / "run"
    assert simulate(out, "--sites=3", "--rounds=1", "--quiet").status == 0
    with (out / "partition.csv").open() as file:
        return list(csv.DictReader(file))


def written(path: Path, rows: list[dict[str, str]]) -> str:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return f"--partition=file:{path}"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def test_losses_that_are_not_finite_end_in_a_hint_and_can_be_resumed(tmp_path: Path) -> None:
    said = simulate(tmp_path, "--set=training.lr=1e30", "--set=training.grad_clip=0.0")
    assert said.status == 1 and "0 of 2 sites answered" in said.err
    assert "lower training.lr" in said.err and "Traceback" not in said.err
    assert summary(tmp_path)["status"] == "failed"
    assert "</html>" in (tmp_path / "report.html").read_text()
    assert fedvox("simulate", "--resume", tmp_path).status == 1


def test_a_checkpoint_with_nan_is_never_gone_on_from(tmp_path: Path) -> None:
    assert simulate(tmp_path, "--quiet").status == 0
    study = load_study(tmp_path / "study.toml")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    state = checkpoints.latest(study_hash(study), contract_hash(study)).state
    assert state is not None
    poisoned = {name: np.full_like(array, np.nan) for name, array in state.weights.items()}
    checkpoints.save(
        replace(state, round=1, weights=poisoned), study_hash(study), contract_hash(study)
    )
    said = fedvox("simulate", "--resume", tmp_path)
    assert said.status == 1 and "holds NaN or infinity" in said.err and "after round 1" in said.err


def test_a_site_that_only_tests_is_evaluated_and_never_asked_to_train(
    partition: list[dict[str, str]], tmp_path: Path
) -> None:
    rows = [{**row, "split": "test"} if row["site"] == "site-2" else row for row in partition]
    spec = written(tmp_path / "p.csv", rows)
    said = simulate(tmp_path / "run", "--sites=3", spec, "--baselines", "--quiet")
    assert said.status == 0, said.err
    assert [line["asked"] for line in lines(tmp_path / "run")] == [["site-1", "site-3"]] * 2
    found = summary(tmp_path / "run")
    outside = found["sites"][1]
    assert (outside["name"], outside["patients_train"]) == ("site-2", 0)
    assert 0 <= outside["metrics"]["dice"] <= 1
    assert "no data" in found["baselines"]["local"]["site-2"]["problem"]


def test_a_site_without_test_patients_trains_all_the_same(
    partition: list[dict[str, str]], tmp_path: Path
) -> None:
    rows = [{**row, "split": "train"} if row["site"] == "site-2" else row for row in partition]
    spec = written(tmp_path / "p.csv", rows)
    assert simulate(tmp_path / "run", "--sites=3", spec, "--baselines", "--quiet").status == 0
    assert lines(tmp_path / "run")[0]["answered"] == ["site-1", "site-2", "site-3"]
    found = summary(tmp_path / "run")
    assert found["sites"][1]["metrics"] == {} and found["metrics"]["dice"] >= 0


def test_nobody_to_train_on_anywhere(partition: list[dict[str, str]], tmp_path: Path) -> None:
    spec = written(tmp_path / "p.csv", [{**row, "split": "test"} for row in partition])
    said = simulate(tmp_path / "run", "--sites=3", spec)
    assert said.status == 1 and "0 of 3 sites can train" in said.err


@pytest.mark.parametrize("test_share", ["0.0", "0.25"])
def test_a_site_of_one_class_runs_and_its_metrics_are_numbers(
    test_share: str, tmp_path: Path
) -> None:
    words = ["--task=classification", "--set=simulation.patients=12", "--rounds=1", "--quiet"]
    assert simulate(tmp_path / "plain", *words).status == 0
    with (tmp_path / "plain/partition.csv").open() as file:
        rows = list(csv.DictReader(file))
    from fedvox.simulations.sources import open_source

    study = load_study(tmp_path / "plain/study.toml")
    classes = {r.case: r.columns["class"] for r in open_source("phantom", study).cases()}
    one = next(iter(classes.values()))
    for row in rows:
        row["split"] = ""
        row["site"] = "single" if classes[row["case"]] == one else "mixed"
    spec = written(tmp_path / "p.csv", rows)
    said = simulate(tmp_path / "run", *words, spec, f"--set=data.test={test_share}", "--baselines")
    assert said.status == 0, said.err
    found = summary(tmp_path / "run")
    single = next(site for site in found["sites"] if site["name"] == "single")
    assert all(np.isfinite(value) for value in single["metrics"].values())
    assert list(single["strata"]) == [one]


def failing(folder: Path, site: str) -> Path:
    """What `site` remembers is damaged: it fails whenever it is asked to train."""
    study = study_hash(load_study(folder / "study.toml"))
    for number in (0, 1, 2):
        path = folder / "sites" / site / f"{study[:12]}-{number:05d}.state"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode({"moments:x": np.zeros(3)})[:-4])
    return folder


def begun(folder: Path, *words: str) -> Path:
    """A run that was begun and cut short before its first round."""
    assert simulate(folder / "whole", *words, "--quiet").status == 0
    (folder / "run").mkdir()
    (folder / "run/study.toml").write_bytes((folder / "whole/study.toml").read_bytes())
    return folder / "run"


def test_a_site_that_always_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    run = failing(begun(tmp_path, "--sites=3", "--set=participation.quorum=0.6"), "site-2")
    said = fedvox("simulate", "--resume", run)
    assert said.status == 0 and "site-2 sent no update" in said.out
    assert [line["answered"] for line in lines(run)] == [["site-1", "site-3"]] * 2
    assert lines(run)[0]["refused"] == {"site-2": "internal"}
    assert summary(run)["sites"][1]["rounds_refused"] == 2
    assert "damaged" in (run / "fedvox.log").read_text(), "the reason stands in the log"


def test_below_the_quorum_the_run_fails_and_goes_on_when_the_site_is_well(tmp_path: Path) -> None:
    run = failing(begun(tmp_path), "site-2")
    said = fedvox("simulate", "--resume", run)
    assert said.status == 1 and "site-2: internal" in said.err and "--resume" in said.err
    assert "damaged" not in said.err, "what a site logs stays there"
    for path in (run / "sites/site-2").iterdir():
        path.unlink()
    assert fedvox("simulate", "--resume", run, "--quiet").status == 0
    assert summary(run)["model_sha256"] == summary(tmp_path / "whole")["model_sha256"]
