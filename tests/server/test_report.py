from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fedvox.common.errors import InputError, ResourceError
from fedvox.server.report.load import load_run
from fedvox.server.report.page import render_report, report_html, write_page
from fedvox.server.report.slices import pictures

MakeRun = Callable[..., Path]
VOID = {"meta", "link", "br", "img", "input", "hr"}
KNOWN = re.compile(
    "html|head|meta|title|style|body|main|header|footer|aside|section|div|span|p|b|i|h[123]|ul|li|"
    "strong|table|thead|tbody|tr|th|td|details|summary|pre|dl|dt|dd|figure|figcaption|"
    "svg|g|path|defs|use|clippath|rect|text|image"
)


class Page(HTMLParser):
    """Collects what a browser would see; fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: dict[str, int] = {}
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert KNOWN.fullmatch(tag), f"<{tag}> is no element of a report"
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_report_is_one_valid_file_that_loads_nothing(make_run: MakeRun, task: str) -> None:
    path = render_report(make_run(task=task))
    assert path.name == "report.html"
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert all(ref.startswith(("#", "data:image/png;base64,")) for ref in page.references)
    assert {ref[1:] for ref in page.references if ref[0] == "#"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "script" not in page.tags
    assert not re.search(r"url\((?!#)|@import|https?://", html)
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", html)) <= set(
        re.findall(r"(--[a-z0-9-]+): ?", html)
    )
    assert "#0a0b" not in html, "a placeholder colour was left in a chart"


def test_the_result_is_said_in_a_sentence_and_in_key_figures(make_run: MakeRun) -> None:
    folder = make_run()
    summary = json.loads((folder / "summary.json").read_text())
    dice = summary["union"]["dice"]
    pooled = summary["baselines"]["pooled"]["metrics"]["dice"]
    alone = {k: v["metrics"]["dice"] for k, v in summary["baselines"]["local"].items()}
    best = max(alone, key=lambda name: alone[name])
    text = Page(report_html(load_run(folder))).text
    assert (
        f"Federated reached Dice {dice:.3f} on the union of all test sets; pooled {pooled:.3f}; "
        f"the best site alone {alone[best]:.3f}."
    ) in text
    assert f"{100 * dice / pooled:.1f}\u202f%".replace("\u202f", " ") in text
    assert f"{best} reached {alone[best]:.3f}" in text
    assert f"{dice - alone[best]:+.3f}" in text


def test_a_report_has_all_its_parts(make_run: MakeRun) -> None:
    text = Page(report_html(load_run(make_run()))).text
    for part in (
        "Trained on × tested on",
        "How the comparison was made fair",
        "Slices",
        "By class",
        "Patients by split",
        "Patients by stratum",
        "Participation",
        "Bytes per round",
        "Seconds per round",
        "same image as case_0002",
        "We trained a 3D U-Net",
        "combined with FedAvg",
        "MONAI 1.6.1",
        "Study file",
        'partition = "dirichlet:0.5"',
    ):
        assert part in text, part
    assert "576 steps on 2 304 samples together; the pooled model took 576 steps" in text


def test_a_classifier_shows_confusion_and_roc(make_run: MakeRun) -> None:
    html = report_html(load_run(make_run(task="classification")))
    text = Page(html).text
    assert "Confusion matrix" in text and "1 − specificity" in text
    # 18 of 21 normal cases were found, and 3 of 32 others were taken for normal
    assert re.search(r"normal +0\.857 +0\.906 +21", text)
    assert 'style="--heat: 0.831">18<' in html  # 0.06 + 0.9 * 18 / 21


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun) -> None:
    folder = make_run(task="classification")
    assert render_report(folder).read_bytes() == render_report(folder).read_bytes()


def test_hostile_names_are_text(make_run: MakeRun) -> None:
    evil = ['<script>alert("x")</script>', "a & b $x_1$ </svg><img src=x onerror=y>", "-->", "c"]
    folder = make_run(names=evil, settings=("privacy.mode=patient",))
    summary = json.loads((folder / "summary.json").read_text())
    summary["aside"] = {"<b onclick=1>": 1}
    summary["headline"] = 'dice" onload="x'
    summary["versions"]["<i onclick=1>"] = "</pre>"
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(report_html(load_run(folder)))
    assert "script" not in page.tags and "img" not in page.tags
    assert evil[0] in page.text and evil[1] in page.text
    assert "$x_1$" in page.text, "a name was read as mathematics"


@pytest.mark.parametrize("sites", [2, 12, 30])
def test_few_and_many_sites(make_run: MakeRun, sites: int) -> None:
    names = [f"hospital-{index:03d}-with-a-rather-long-name" for index in range(sites)]
    folder = make_run(names=names, rounds=4)
    begun = time.perf_counter()
    text = Page(report_html(load_run(folder))).text
    assert time.perf_counter() - begun < 3
    assert ("The table of models by sites is left out" in text) == (sites == 30)
    assert names[-1] in text


def test_a_run_that_was_cut_short_says_what_it_lacks(make_run: MakeRun) -> None:
    folder = make_run(baselines=False)
    for name in ("summary.json", "samples.npz", "evaluation.json"):
        (folder / name).unlink()
    rounds = (folder / "rounds.jsonl").read_text().splitlines()
    (folder / "rounds.jsonl").write_text("\n".join([*rounds[:5], rounds[5][:40]]))
    run = load_run(folder)
    assert [record.number for record in run.rounds] == [1, 2, 3, 4, 5]
    text = Page(report_html(run)).text
    for line in (
        "The run wrote no summary",
        "5 of 12 rounds were closed",
        "No baselines were trained",
        "No slices were kept",
        "The run has no final result",
        "on validation patients was",
    ):
        assert line in text, line
    assert run.sites[3].rounds_refused == 2
    rows = (folder / "partition.csv").read_text().splitlines()
    assert run.sites[2].name == "north"
    assert run.sites[2].patients["test"] == sum(row.endswith('"north",test') for row in rows) > 0


def test_only_a_study_file_is_needed(make_run: MakeRun) -> None:
    folder = make_run()
    for path in folder.iterdir():
        if path.name != "study.toml":
            path.unlink()
    assert "No round was closed." in Page(report_html(load_run(folder))).text


def test_null_and_nan_metrics_are_shown_as_absent(make_run: MakeRun) -> None:
    folder = make_run()
    summary = json.loads((folder / "summary.json").read_text())
    summary["union"]["hd95"] = None
    summary["sites"][0]["metrics"]["dice"] = float("nan")
    summary["baselines"]["pooled"]["metrics"]["dice"] = None
    (folder / "summary.json").write_text(json.dumps(summary))
    html = report_html(load_run(folder))
    assert "HD95 (mm) –" in Page(html).text
    assert not re.search(r"\bnan\b", html, re.IGNORECASE)


def test_a_round_written_twice_counts_once(make_run: MakeRun) -> None:
    folder = make_run(rounds=3)
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    again = json.loads(lines[2]) | {"loss": 7.0}
    (folder / "rounds.jsonl").write_text("\n".join([*lines, json.dumps(again)]) + "\n")
    assert [record.loss for record in load_run(folder).rounds][-1] == 7.0
    assert len(load_run(folder).rounds) == 3


def test_damage_is_told_with_file_and_line(make_run: MakeRun) -> None:
    folder = make_run()
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    (folder / "rounds.jsonl").write_text("\n".join([lines[0], "{", *lines[1:]]))
    with pytest.raises(InputError, match=r"rounds\.jsonl, line 2: "):
        load_run(folder)
    (folder / "summary.json").write_text("[1]")
    with pytest.raises(InputError, match=r"summary\.json: holds no JSON object"):
        load_run(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run folder: it has no study\.toml"):
        render_report(tmp_path)


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        write_page(tmp_path / "missing" / "report.html", "x")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ResourceError):
        write_page(tmp_path / "report.html", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_an_outline_goes_round_the_voxels(make_run: MakeRun) -> None:
    folder = make_run()
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2:4] = 1  # row 1, columns 2 and 3: midpoints half a voxel outside their centres
    np.savez(
        folder / "samples.npz",
        names=np.array(["one"]),
        image_0=np.zeros((4, 6), np.float32),
        truth_0=mask,
        prediction_0=np.zeros_like(mask),
    )
    (picture,) = pictures(load_run(folder))
    points = {tuple(map(float, p)) for p in re.findall(r"([\d.]+) ([\d.]+)", picture.truth)}
    assert points == {(2, 1.5), (2.5, 1), (3.5, 1), (4, 1.5), (3.5, 2), (2.5, 2)}
    assert picture.prediction == "" and (picture.width, picture.height) == (6, 4)
