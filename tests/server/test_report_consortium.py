"""The report of a consortium says nothing that only a simulation could know."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvox.server.report.compare import load_runs
from fedvox.server.report.load import load_run
from fedvox.server.report.page import report_html

MakeRun = Callable[..., Path]


def as_a_consortium(folder: Path, **changes: Any) -> Path:
    """The folder that a conductor leaves: without what lies at the sites."""
    for name in ("samples.npz", "partition.csv", "evaluation.json"):
        (folder / name).unlink(missing_ok=True)
    path = folder / "summary.json"
    summary = {**json.loads(path.read_text()), "engine": "consortium", **changes}
    for name in ("baselines", "aside", "aside_cases"):
        summary.pop(name, None)
    path.write_text(json.dumps(summary))
    return folder.rename(folder.with_name("run"))


def said(folder: Path) -> str:
    text = re.sub(r"<style.*?</style>|<svg.*?</svg>|<details>.*?</details>", " ",
                  report_html(load_run(folder)), flags=re.S)  # fmt: skip
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


@pytest.fixture
def open_run(make_run: MakeRun) -> Path:
    return as_a_consortium(make_run(names=["a", "b", "c"], baselines=False))


def test_it_is_called_by_its_study_and_says_where_the_data_lie(open_run: Path) -> None:
    text = said(open_run)
    assert load_run(open_run).name == "phantom" == load_runs([open_run])[0].name
    assert "run run" not in text and "run phantom" not in text
    assert "data phantoms at the sites engine consortium" in text
    assert "Each site trained on phantoms that it had made itself and sent none of them" in text
    for untrue in ("partition", "in more than one site", "simul", "No case was set aside",
                   "No slices were kept", "seeded"):  # fmt: skip
        assert untrue not in text, untrue
    assert "Slices stay at the sites, as all images do." in text
    assert "Which cases were set aside, and why, is known at the sites only." in text
    assert "at a site no patient was in more than one split" in text


def test_one_that_protects_patients_says_what_was_not_told(make_run: MakeRun) -> None:
    folder = make_run(names=["a", "b"], baselines=False, settings=("privacy.mode=patient",))
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    privacy = {**summary["privacy"], "guarantee": True, "why": ""}
    for site in summary["sites"]:
        site["metrics"] = {}
    run = as_a_consortium(folder, privacy=privacy, metrics={}, union={}, sites=summary["sites"])
    rounds = run / "rounds.jsonl"
    lines = [{**json.loads(x), "evaluation": None} for x in rounds.read_text().splitlines()]
    rounds.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = said(run)
    assert f"The model was trained in {len(lines)} rounds. How good it is was not told" in text
    assert "Metrics were not told by the sites" in text and "Models were evaluated" not in text
    assert "by the rounded counts that they gave" in text
    assert "Counts of patients, rounded by their sites, and which sites took part" in text
    for untrue in ("no result yet", "simul", "seeded", "no guarantee"):
        assert untrue not in text, untrue


def test_a_simulation_is_called_by_its_folder_as_before(make_run: MakeRun) -> None:
    folder = make_run()
    assert load_run(folder).name == folder.name
    assert f"run {folder.name} data phantom partition dirichlet:0.5" in said(folder)
