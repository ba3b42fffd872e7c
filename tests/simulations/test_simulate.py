"""The contract of `fedvox simulate` with scripts."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import TINY, Said, cached_in, contents, fedvox, simulate, summary
from images import image_folder

from fedvox.common.study import load_study

KEYS: dict[str, type | tuple[type, ...]] = {
    "study": str, "task": str, "engine": str, "seed": int, "rounds_completed": int,
    "wall_s": float, "bytes_up": int, "bytes_down": int, "model_sha256": str, "metrics": dict,
    "sites": list, "baselines": dict,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


@pytest.fixture(scope="module")
def said(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """One run with everything on, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, simulate(out, "--baselines", "--json")


def patients_of(folder: Path, split: str) -> list[str]:
    with (folder / "partition.csv").open() as file:
        return [row["patient"] for row in csv.DictReader(file) if row["split"] == split]


def test_the_summary_has_what_scripts_rely_on(said: tuple[Path, Said]) -> None:
    found = summary(said[0])
    for key, kind in KEYS.items():
        assert isinstance(found[key], kind), key
    assert found["rounds_completed"] == 2 and found["seed"] == 0 and found["status"] == "done"
    assert found["bytes_up"] > 0 and found["bytes_down"] > 0
    assert [site["name"] for site in found["sites"]] == ["site-1", "site-2"]
    for site in found["sites"]:
        assert site["patients_train"] > 0 and site["patients_test"] > 0
        assert 0 <= site["metrics"]["dice"] <= 1
    mean = sum(site["metrics"]["dice"] for site in found["sites"]) / 2
    assert found["metrics"]["dice"] == pytest.approx(mean)


def test_baselines_take_equal_steps(said: tuple[Path, Said]) -> None:
    baselines = summary(said[0])["baselines"]
    assert baselines["pooled"]["steps"] == 4 and 0 <= baselines["pooled"]["metrics"]["dice"] <= 1
    assert {site: alone["steps"] for site, alone in baselines["local"].items()} == {
        "site-1": 2,
        "site-2": 2,
    }


def test_with_json_every_line_parses_and_the_last_is_the_summary(said: tuple[Path, Said]) -> None:
    events = said[1].events
    assert said[1].status == 0 and said[1].err == ""
    last = events[-1]
    assert last.pop("event") == "finished" and Path(last.pop("report")) == said[0] / "report.html"
    assert last == summary(said[0])
    assert {"prepare", "started", "asked", "trained", "closed", "evaluated", "baseline"} <= {
        event["event"] for event in events[:-1]
    }


def test_the_run_folder_holds_all_that_was_promised(said: tuple[Path, Said]) -> None:
    from safetensors.numpy import load_file
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = said[0]
    rounds = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    assert [line["round"] for line in rounds] == [1, 2]
    assert rounds[-1]["weights_out"] == summary(out)["model_sha256"]
    assert load_file(out / "model.safetensors")
    assert len(patients_of(out, "train")) == sum(s["patients_train"] for s in summary(out)["sites"])
    scalars = EventAccumulator(str(out / "tensorboard"))
    scalars.Reload()
    assert [event.step for event in scalars.Scalars("train/loss")] == [1, 2]
    report = (out / "report.html").read_text()
    assert "</html>" in report and summary(out)["model_sha256"] in report
    assert fedvox("study", "check", out / "study.toml").status == 0


def test_quiet_prints_nothing_and_every_flag_counts(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        '[study]\nname = "mine"\n[training]\nrounds = 9\nlocal_steps = 1\nbatch_size = 2\n'
        "[model]\nchannels = [4]\n[simulation]\npatients = 6\n"
    )
    said = fedvox(
        "simulate", study, "--data", "phantom", "--task", "classification", "--sites", "3",
        "--rounds", "1", "--partition", "iid", "--strategy", "fedprox", "--engine", "inprocess",
        "--workers", "2", "--baselines", "--seed", "5", "--device", "cpu", "--quiet",
        "--out", tmp_path / "run", "--set", "training.lr=1e-3", "--set", "data.validation=0.0",
    )  # fmt: skip
    assert (said.status, said.out, said.err) == (0, "", "")
    resolved = load_study(tmp_path / "run/study.toml")
    assert (resolved.study.name, resolved.study.seed) == ("mine", 5)
    assert (resolved.task.kind, resolved.model.name) == ("classification", "resnet18")
    assert (resolved.data.source, resolved.data.partition) == ("phantom", "iid")
    assert (resolved.training.rounds, resolved.training.lr) == (1, 1e-3)
    assert resolved.strategy.name == "fedprox"
    assert resolved.simulation.sites == len(summary(tmp_path / "run")["sites"]) == 3
    assert resolved.simulation.baselines and resolved.simulation.workers == 2
    assert summary(tmp_path / "run")["metrics"]["accuracy"] >= 0


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_both_tasks_run_in_both_dimensions(task: str, dims: int, tmp_path: Path) -> None:
    said = simulate(tmp_path, "--task", task, f"--set=data.dims={dims}", "--rounds=1", "--quiet")
    assert said.status == 0, said.err
    assert summary(tmp_path)["task"] == task
    assert len(load_study(tmp_path / "study.toml").data.patch) == dims


def test_folds_test_every_patient_once_and_can_be_resumed(tmp_path: Path) -> None:
    assert simulate(tmp_path, "--folds=2", "--quiet", "--rounds=1").status == 0
    tested = [p for fold in (0, 1) for p in patients_of(tmp_path / f"fold-{fold}", "test")]
    everybody = {
        row for s in ("train", "validation", "test") for row in patients_of(tmp_path / "fold-0", s)
    }
    assert sorted(tested) == sorted(everybody)
    whole = summary(tmp_path)
    folds = [summary(tmp_path / f"fold-{fold}") for fold in (0, 1)]
    assert whole["metrics"]["dice"] == pytest.approx(sum(f["metrics"]["dice"] for f in folds) / 2)
    models = [fold["model_sha256"] for fold in folds]
    assert models[0] != models[1]
    assert simulate(tmp_path, "--folds=2", "--quiet").status == 2
    assert fedvox("simulate", "--resume", tmp_path, "--quiet").status == 0
    assert fedvox("simulate", "--resume", tmp_path / "fold-1", "--quiet").status == 0
    assert [summary(tmp_path / f"fold-{fold}")["model_sha256"] for fold in (0, 1)] == models
    assert summary(tmp_path)["metrics"] == whole["metrics"]


@pytest.mark.parametrize("workers", [1, 3])
def test_one_seed_gives_one_model_whatever_the_workers_the_folder_and_the_place(
    workers: int, said: tuple[Path, Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert simulate(Path("here"), f"--workers={workers}", "--baselines", "--quiet").status == 0
    one, other = summary(said[0]), summary(tmp_path / "here")
    for key in ("model_sha256", "metrics", "union", "baselines"):
        assert one[key] == other[key], key
    for file in ("partition.csv", "model.safetensors"):
        assert (said[0] / file).read_bytes() == Path("here", file).read_bytes(), file


def test_another_seed_gives_another_model(said: tuple[Path, Said], tmp_path: Path) -> None:
    simulate(tmp_path, "--seed=1", "--quiet")
    assert summary(tmp_path)["model_sha256"] != summary(said[0])["model_sha256"]


def test_a_run_is_never_written_over(said: tuple[Path, Said]) -> None:
    before = contents(said[0])
    again = simulate(said[0], "--seed=3")
    assert again.status == 2 and "--resume" in again.err
    assert contents(said[0]) == before


def test_without_out_each_run_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert fedvox("simulate", *TINY, "--rounds=1", "--quiet").status == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["phantom", "phantom-2"]


def test_a_folder_named_in_a_study_file_is_meant_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder(tmp_path / "project/data")
    rows = [f"case{n},site-{n % 2}" for n in range(8)]
    (tmp_path / "project/sites.csv").write_text("\n".join(["case,site", *rows]) + "\n")
    (tmp_path / "project/study.toml").write_text(
        '[data]\nsource = "data"\npartition = "file:sites.csv"\npatch = [8, 8, 8]\n'
    )
    monkeypatch.chdir(tmp_path)
    said = simulate(tmp_path / "run", "project/study.toml", "--quiet")
    assert said.status == 0, said.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert fedvox("simulate", "--resume", tmp_path / "run", "--quiet").status == 0
    sizes: dict[str, Any] = {
        s["name"]: s["patients_test"] for s in summary(tmp_path / "run")["sites"]
    }
    assert sizes == {"site-0": 1, "site-1": 1}
