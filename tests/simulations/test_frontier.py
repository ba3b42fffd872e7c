"""The trade-off between epsilon and quality: what is trained, what is not again, what is shown."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Said, cached_in, contents, fedvox, process

from fedvox.common.study import parse_study
from fedvox.simulations.frontier.points import Point, study_at

WITHOUT = math.inf
STUDY = """
[model]
channels = [4, 8]
[training]
rounds = 2
local_steps = 1
batch_size = 1
precision = "fp32"
device = "cpu"
[simulation]
sites = 2
patients = 6
"""
WORK = ("rounds.jsonl", "summary.json", "model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def whole(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frontier of two points that nothing disturbed."""
    out = tmp_path_factory.mktemp("frontiers") / "whole"
    said = frontier(study, "--epsilons=8,inf", "--seeds=1", "--out", out, "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out) == result(out)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "frontier"))


def frontier(*words: str | Path) -> Said:
    return fedvox("privacy", "frontier", *words)


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "frontier.json").read_text())
    return found


def work(folder: Path) -> dict[str, bytes]:
    """What cost time, by file."""
    return {name: data for name, data in contents(folder).items() if name.endswith(WORK)}


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_each_point_is_a_whole_run_of_its_study(whole: Path) -> None:
    told = result(whole)
    assert told["status"] == "done" and told["epsilons"] == [8.0, "inf"] and told["seeds"] == [0]
    private, bare = (summary(whole / f"eps-{name}-seed-0") for name in ("8", "inf"))
    assert private["privacy"]["mode"] == "patient" and bare["privacy"] == {"mode": "none"}
    one, other = told["points"]
    assert one["mean"] == private["union"]["dice"] and other["mean"] == bare["union"]["dice"]
    assert one["ratio"] == pytest.approx(private["union"]["dice"] / bare["union"]["dice"])
    assert one["spent"] == private["privacy"]["epsilon"] and 7.5 < one["spent"] <= 8
    assert other["ratio"] == 1 and other["spent"] is None
    assert told["guarantee"] is False
    for name in ("report.html", "sites", "model.safetensors"):
        assert (whole / "eps-8-seed-0" / name).exists()
    assert (whole / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert (whole / "frontier.svg").read_text().rstrip().endswith("</svg>")


def test_what_is_finished_is_not_run_again(copy: Path) -> None:
    before, times = work(copy), {p: p.stat().st_mtime_ns for p in copy.glob("eps-*/summary.json")}
    said = frontier("--resume", copy)
    assert said.status == 0 and said.out.count("done before") == 2
    assert work(copy) == before
    assert {p: p.stat().st_mtime_ns for p in copy.glob("eps-*/summary.json")} == times


def test_a_frontier_can_grow(copy: Path) -> None:
    before = work(copy)
    assert frontier("--resume", copy, "--epsilons=2", "--quiet").out == ""
    told = result(copy)
    assert told["epsilons"] == [2.0, 8.0, "inf"] and len(told["runs"]) == 3
    after = work(copy)
    assert {name: after[name] for name in before} == before
    assert told["points"][0]["spent"] <= 2
    noise = {run["epsilon"]: run["noise_multipliers"][0] for run in told["runs"][1:]}
    assert noise[2.0] > noise[8.0] > 0


def test_killed_or_interrupted_it_goes_on_to_the_same_figures(
    study: Path, whole: Path, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "cut"
    words = ["privacy", "frontier", str(study), "--epsilons=8,inf", "--seeds=1", "--out", str(out)]
    for sent, moment, status in (
        (signal.SIGKILL, out / "eps-inf-seed-0/rounds.jsonl", -signal.SIGKILL),
        (signal.SIGTERM, out / "eps-8-seed-0/rounds.jsonl", 130),
    ):
        with process(*words, FEDVOX_CACHE=str(cache)) as running:
            while not moment.exists():
                assert running.poll() is None, running.communicate()
                time.sleep(0.005)
            running.send_signal(sent)
            running.communicate()
            assert running.returncode == status
        words = ["privacy", "frontier", "--resume", str(out)]
    assert result(out)["status"] == "interrupted"
    assert "</html>" in (out / "frontier.html").read_text()
    assert frontier("--resume", out, "--quiet").status == 0
    assert result(out)["points"] == result(whole)["points"]
    for run in ("eps-inf-seed-0", "eps-8-seed-0"):
        assert summary(out / run)["model_sha256"] == summary(whole / run)["model_sha256"]


def test_other_settings_are_refused_before_anything_is_done(
    study: Path, copy: Path, tmp_path: Path
) -> None:
    before = contents(copy)
    for words in (
        ["--resume", copy, "--set=training.lr=1e-4"],
        ["--resume", copy, "--out", tmp_path / "other"],
        [study, "--out", copy],
        [study, "--epsilons=0,1"],
        [study, "--epsilons=1,x"],
        [study, "--seeds=0"],
        [study, "--set=simulation.folds=3", "--out", tmp_path / "folds"],
        ["--resume", tmp_path],
        ["--resume", copy / "eps-8-seed-0"],
        [],
    ):
        assert frontier(*words).status == 2, words
    assert contents(copy) == before
    assert not (tmp_path / "other").exists() and not (tmp_path / "folds").exists()


def test_a_run_of_another_study_is_not_taken_for_a_point(copy: Path) -> None:
    path = copy / "eps-8-seed-0" / "study.toml"
    path.write_text(path.read_text().replace("clip_norm = 1.0", "clip_norm = 9.0"))
    said = frontier("--resume", copy)
    assert said.status == 2 and "eps-8-seed-0" in said.err


def test_a_run_that_another_version_finished_is_left_alone(copy: Path) -> None:
    """New keys in the study file change every study's hash, and not what is on disk."""
    path = copy / "eps-8-seed-0" / "summary.json"
    path.write_text(path.read_text().replace(summary(path.parent)["study_sha256"], "0" * 64))
    before = contents(copy)
    said = frontier("--resume", copy)
    assert said.status == 2 and "another version of fedvox" in said.err
    assert contents(copy) == before


def test_a_point_that_fails_leaves_the_others(study: Path, tmp_path: Path) -> None:
    """At a cap of 3 every site refuses epsilon 8 on the way, and no round can be closed."""
    words = ("--epsilons=2,8", "--seeds=1", "--set=simulation.epsilon_cap=3", "--out", tmp_path)
    said = frontier(study, *words)
    assert said.status == 1
    told = result(tmp_path)
    assert [run["status"] for run in told["runs"]] == ["failed", "done"]
    assert told["status"] == "failed" and told["points"][1]["mean"] is None
    assert "without a result: eps-8-seed-0" in said.out


def test_only_seed_and_promise_differ_between_points() -> None:
    base = parse_study("[privacy]\nnoise_multiplier = 2.0\n[simulation]\nbaselines = true\n")
    one, bare = study_at(base, Point(4.0, 7)), study_at(base, Point(WITHOUT, 7))
    assert (one.privacy.mode, one.privacy.epsilon, one.privacy.noise_multiplier) == (
        "patient",
        4,
        0,
    )
    assert bare.privacy.mode == "none"
    for found in (one, bare):
        assert found.study.seed == 7 and not found.simulation.baselines
        same = {"study": base.study, "privacy": base.privacy, "simulation": base.simulation}
        assert found.model_copy(update=same) == base
    assert Point(0.5, 3).folder == "eps-0.5-seed-3"
    assert Point(WITHOUT, 0).folder == "eps-inf-seed-0"


def test_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, fedvox.simulations.frontier.cli\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert "eps-E-seed-S" in frontier("--help").out
