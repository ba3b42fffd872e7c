"""`fedvox study plan`: files in, a study that the other commands take out."""

import json
from pathlib import Path

import pytest
from cohorts import site
from command import cached_in, fedvox, simulate, summary
from images import image_folder
from trainers import give_identity, new_home

from fedvox.client.policy.signature import policy_file, sign_policy
from fedvox.common.study import load_study
from fedvox.server.coordinator.proposal import proposed

TINY = (
    "--rounds=1", "--device=cpu", "--set=training.local_steps=1", "--set=training.batch_size=1",
    "--set=training.precision=fp32", "--set=model.channels=[4, 8]",
)  # fmt: skip


def files(folder: Path) -> list[Path]:
    paths = []
    for name, labels in (("north", {1: "liver"}), ("south", {1: "liver", 2: "tumour"})):
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(site(name, labels=labels).text())
    return paths


def test_files_become_a_study_that_can_be_proposed(tmp_path: Path) -> None:
    out = tmp_path / "study.toml"
    said = fedvox("study", "plan", *files(tmp_path), "--out", out, "--name", "livers")
    assert said.status == 0, said.err
    assert "north" in said.out and "1 1 1" in said.out and "128 128 64" in said.out
    assert fedvox("study", "check", out).status == 0
    study = proposed(out, [])
    assert study.study.name == "livers" and study.data.source == "sites"
    assert study.task.classes == ("background", "liver", "tumour")
    assert study.data.spacing == (1.0, 1.0, 1.0) and study.data.window == (-100.0, 200.0)
    assert "# data.spacing: the median of the sites' medians" in out.read_text()


def test_for_scripts(tmp_path: Path) -> None:
    said = fedvox("study", "plan", *files(tmp_path), "--json")
    told = json.loads(said.out)
    assert told["patients"] == 40 and told["medians"]["size_2"] == 64
    assert [one["weight"] for one in told["sites"]] == [0.5, 0.5]
    assert told["proposal"]["data.patch"] and told["study"] is None


def test_without_out_the_study_is_printed(tmp_path: Path) -> None:
    said = fedvox("study", "plan", *files(tmp_path))
    printed = said.out[said.out.index("# Proposed by") :]
    (tmp_path / "printed.toml").write_text(printed)
    assert load_study(tmp_path / "printed.toml").study.name == "planned"


def test_conflicts_are_told_and_written_down(tmp_path: Path) -> None:
    paths = files(tmp_path)
    paths[1].write_text(site("south", labels={1: "tumour"}).text())
    out = tmp_path / "study.toml"
    said = fedvox("study", "plan", *paths, "--out", out)
    assert "to settle: value 1 is 'liver' at north, 'tumour' at south" in said.out
    assert "# TO SETTLE: value 1 is" in out.read_text()


def test_from_images_over_two_sites_to_a_plan_that_both_are_ready_for(tmp_path: Path) -> None:
    """Ingest, policy, cohort at each site; plan at the coordinator; check at the sites."""
    summaries = []
    for number, name in enumerate(("north", "south")):
        export = image_folder(tmp_path / f"export-{name}", 8, f"{name}-")
        home = new_home(tmp_path / name, "dataset:balls", name)
        give_identity(home, name)
        policy_file(home).write_text("[cohort]\nrelease = 'histograms'\n")
        sign_policy(home)
        taken = fedvox(
            "site", "ingest", export / "images", "--labels", export / "labels", "--dataset", "balls",
            "--home", home, "--json",
        )  # fmt: skip
        assert taken.status == 0 and taken.events[-1]["labelled"] == 8, taken.out + taken.err
        summaries.append(tmp_path / f"{number}.json")
        words = ["--dataset", "balls", "--home", home, "--out", summaries[-1]]
        told = fedvox("site", "cohort", *words)
        assert told.status == 0, told.err
    plan = tmp_path / "plan.toml"
    assert fedvox("study", "plan", *summaries, "--out", plan).status == 0
    study = proposed(plan, [])
    assert study.data.spacing == (1.0, 1.0, 1.0) and study.data.patch == (16, 16, 16)
    assert study.task.classes == ("background", "label-1")
    small = ["--set", "model.channels=[4, 8]", "--set", "training.precision=fp32"]
    for name in ("north", "south"):
        said = fedvox("site", "check", plan, *small, "--home", tmp_path / name, "--json")
        found = {one["check"]: one for one in said.events[-1]["findings"]}
        assert {check for check, one in found.items() if one["level"] == "red"} == {
            "network.tcp",
            "network.tls",
        }, found  # there is no coordinator
        assert "s a step" in found["trial.step"]["found"]


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_plan_from_a_simulation_runs(tmp_path: Path, task: str) -> None:
    out = tmp_path / "study.toml"
    with cached_in(tmp_path / "cache"):
        said = fedvox(
            "study", "plan", "--simulate", "phantom", "--sites", "2", "--task", task, "--out", out,
            "--set", "simulation.patients=10", "--set", f"task.kind={task}",
        )  # fmt: skip
        assert said.status == 0, said.err
        assert fedvox("study", "check", out).status == 0
        study = load_study(out)
        assert study.task.kind == task and study.data.spacing == (6.0, 6.0, 6.0)
        words = TINY if task == "segmentation" else [*TINY, "--set=model.channels=[8]"]
        run = simulate(tmp_path / "run", out, "--quiet", tiny=words)
        assert run.status == 0, run.err
    assert summary(tmp_path / "run")["status"] == "done"


def test_what_cannot_be_planned_is_told(tmp_path: Path) -> None:
    assert fedvox("study", "plan").status == 2
    assert fedvox("study", "plan", "x.json", "--simulate", "phantom").status == 2
    said = fedvox("study", "plan", tmp_path / "none.json")
    assert said.status == 2 and "none.json: cannot be read" in said.err
    assert fedvox("study", "plan", *files(tmp_path), "--memory", "0").status == 2
