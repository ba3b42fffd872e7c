"""The trade-off between epsilon and quality: what is trained, what is not again, what is shown."""

import json
import math
import re
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
from command import TINY, Said, cached_in, contents, fedvox, process

from fedvox.common.study import dump_study, parse_study
from fedvox.simulations.frontier.figures import Frontier, Outcome, as_plain, ratio_of
from fedvox.simulations.frontier.page import frontier_html
from fedvox.simulations.frontier.plot import picture
from fedvox.simulations.frontier.points import Grid, Point, study_at
from fedvox.simulations.frontier.text import level_table, result_sentence

WITHOUT = math.inf
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
    settings = [word.removeprefix("--set=") for word in TINY if word.startswith("--set=")]
    settings += ["simulation.sites=2", "training.rounds=2", "training.device=cpu"]
    path.write_text(dump_study(parse_study("", settings=settings)))
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


def made_up(
    values: dict[tuple[float, int], float], seeds: tuple[int, ...] = (0, 1), name: str = "made-up"
) -> Frontier:
    """A frontier with these results; what is NaN failed."""
    study = parse_study(f'[study]\nname = "{name}"\n[task]\nclasses = ["background", "organ"]\n')
    grid = Grid(tuple(sorted({epsilon for epsilon, _ in values})), seeds)
    outcomes = []
    for point in grid:
        value = values[(point.epsilon, point.seed)]
        status = "failed" if math.isnan(value) else "done"
        spent = point.epsilon - 0.001 if point.private else math.nan
        outcomes.append(Outcome(point, status, "dice", value, spent, 0.01, (0.5, 0.7)))
    return Frontier(study, "done", grid, tuple(outcomes))


MADE_UP = {
    (1.0, 0): 0.2, (1.0, 1): 0.4,
    (2.0, 0): 0.3, (2.0, 1): 0.45,
    (4.0, 0): 0.4, (4.0, 1): 0.5,
    (WITHOUT, 0): 0.5, (WITHOUT, 1): 0.7,
}  # fmt: skip


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


def test_ratios_are_of_the_seeds_that_both_have() -> None:
    found = made_up(MADE_UP)
    ratios = [level["ratio"] for level in as_plain(found)["points"]]
    assert ratios == pytest.approx([0.6 / 1.2, 0.75 / 1.2, 0.9 / 1.2, 1])
    torn = made_up({**MADE_UP, (1.0, 1): math.nan})
    assert torn.levels[0].ratio == pytest.approx(0.2 / 0.5), "seed 1 failed: only seed 0 counts"
    assert math.isnan(ratio_of(torn.levels[0].outcomes, ()))


def test_the_table_says_what_the_seeds_came_to() -> None:
    table = level_table(made_up({**MADE_UP, (1.0, 1): math.nan}))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert rows[0] == {
        "Epsilon": "1", "Dice": "0.200", "Range": "0.200–0.200", "Of no privacy": "40.0\u202f%",
        "Spent": "1.00", "Delta": "0.01", "Seeds": "1/2",
    }  # fmt: skip
    assert rows[3]["Epsilon"] == "none" and rows[3]["Spent"] == "–"
    assert rows[2]["Range"] == "0.400–0.500" and rows[2]["Dice"] == "0.450"


def test_the_result_is_said_in_a_sentence() -> None:
    every = result_sentence(made_up(MADE_UP))
    assert every == (
        "Of the Dice without privacy, 75.0\u202f% is kept at epsilon 4, 50.0\u202f% at epsilon 1."
    )
    private = {key: value for key, value in MADE_UP.items() if key[0] != WITHOUT}
    alone = result_sentence(made_up(private))
    assert alone.startswith("Dice was 0.300 at epsilon 1 and 0.450 at epsilon 4;")
    nothing = made_up(dict.fromkeys(MADE_UP, math.nan))
    assert result_sentence(nothing) == "No private run has a result yet."
    assert picture(nothing, "svg") is None and "</html>" in frontier_html(nothing)


def test_the_axis_is_logarithmic_and_no_privacy_a_dashed_line() -> None:
    html = frontier_html(made_up(MADE_UP))
    svg = html[html.index("<svg") : html.index("</svg>")]
    ticks = dict(
        reversed(found)
        for found in re.findall(r'translate\(([\d.]+) [\d.]+\)">([124])</text>', svg)
    )
    at = {int(label): float(x) for label, x in ticks.items()}
    assert at[2] - at[1] == pytest.approx(at[4] - at[2], abs=0.01) and at[2] > at[1]
    dashed = re.findall(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ ([\d.]+) "[^>]*stroke-dasharray', svg)
    assert len(dashed) == 1 and dashed[0][0] == dashed[0][1]
    bare = {key: value for key, value in MADE_UP.items() if key[0] != WITHOUT}
    assert "stroke-dasharray" not in frontier_html(made_up(bare)).split("</svg>")[0]


def test_the_page_loads_nothing_and_promises_nothing() -> None:
    html = frontier_html(made_up(MADE_UP))
    assert not re.search(r"https?://|<script|@import|url\((?!#)", html)
    assert "#0a0b" not in html, "a placeholder colour was left in the chart"
    for tag in ("main", "section", "table", "svg", "ul", "aside"):
        assert html.count(f"<{tag}") == html.count(f"</{tag}>"), tag
    assert "none of these models protects anybody" in html
    assert "spends privacy of its own" in html
    assert frontier_html(made_up(MADE_UP)) == html


def test_the_picture_is_the_same_each_time() -> None:
    for kind in ("svg", "png"):
        drawn = picture(made_up(MADE_UP), kind)
        assert drawn is not None and drawn == picture(made_up(MADE_UP), kind)


def test_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, fedvox.simulations.frontier.cli\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert "eps-E-seed-S" in frontier("--help").out
