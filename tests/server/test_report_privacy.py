"""What the report says of privacy: a promise, its limits, and what was spent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvox.server.report.compare import as_plain, compare_html, load_runs, result_table
from fedvox.server.report.curves import epsilon_chart
from fedvox.server.report.load import load_run
from fedvox.server.report.methods import fairness, methods
from fedvox.server.report.page import report_html
from fedvox.server.report.privacy import UNPROTECTED, chapter, spent
from fedvox.server.report.wording import epsilon_spent, span

MakeRun = Callable[..., Path]
PRIVATE = ("privacy.mode=patient",)
SEEDED = "it protects nobody, and its model has no guarantee"


@pytest.fixture
def private(make_run: MakeRun) -> Path:
    return make_run(names=["a", "b", "c"], settings=PRIVATE)


def change(folder: Path, name: str, edit: Callable[[Any], None]) -> None:
    if name == "rounds.jsonl":
        records = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for record in records:
            edit(record)
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return
    value = json.loads((folder / name).read_text())
    edit(value)
    (folder / name).write_text(json.dumps(value))


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_promise_is_the_largest_epsilon_and_the_largest_delta(private: Path) -> None:
    """Site a spends 3 * 12 ** .4 = 8.1055... at 1e-3; the others have less at 1e-2."""
    told = chapter(load_run(private))
    assert "beyond epsilon 8.11 at delta 0.01. The unit is the patient" in told.promise
    assert told.simulated
    text = words(report_html(load_run(private)))
    assert told.promise in text and SEEDED in text
    assert "They are not covered by what was charged" in text
    assert "The baselines were trained without privacy" in text
    assert re.search(r"Epsilon 8\.11 a patient, delta 0\.01; simulated, so no guarantee", text)


def test_each_site_has_a_row_and_the_refused_one_fewer_steps(private: Path) -> None:
    """Site a is late in round 5 and b out of budget after 8; c lacked memory in 3 and 4."""
    table = chapter(load_run(private)).table
    assert table is not None
    assert table.columns[1:] == (
        "Epsilon", "Delta", "Noise multiplier", "Clip norm", "Sample rate", "Steps",
    )  # fmt: skip
    assert table.rows == (
        ("a", "8.11", "0.001", "0.8", "1", "0.1", "132"),
        ("b", "6.32", "0.01", "0.9", "1", "0.12", "96"),  # 2.75 * 8 ** .4 = 6.3179
        ("c", "6.76", "0.01", "1", "1", "0.14", "120"),  # 2.5 * 12 ** .4 = 6.7547
    )


def test_who_refused_for_budget_is_told_with_the_rounds(private: Path) -> None:
    (refused,) = chapter(load_run(private)).refused
    assert (refused.site, refused.rounds) == ("b", "rounds 9–12")
    assert refused.sentence == "the site's privacy budget for this data is spent"
    change(private, "rounds.jsonl", lambda r: r["refused"].pop("b", 0) if r["round"] == 10 else 0)
    (refused,) = chapter(load_run(private)).refused
    assert refused.rounds == "rounds 9, 11–12"


def test_without_a_refusal_that_is_said(private: Path) -> None:
    change(private, "rounds.jsonl", lambda record: record["refused"].clear())
    assert "No site refused for its budget" in words(report_html(load_run(private)))


def test_a_run_without_privacy_says_so_in_one_line(make_run: MakeRun) -> None:
    run = load_run(make_run())
    told = chapter(run)
    assert (told.private, told.promise, told.table) == (False, UNPROTECTED, None)
    text = words(report_html(run))
    assert f"Privacy {UNPROTECTED}" in text
    assert SEEDED not in text and "Epsilon" not in text
    assert "No differential privacy was applied." in methods(run)
    assert epsilon_chart(run) is None


def test_a_run_cut_short_is_told_by_its_rounds(private: Path) -> None:
    before = chapter(load_run(private))
    (private / "summary.json").unlink()
    after = chapter(load_run(private))
    assert after.promise == before.promise and after.table == before.table
    assert after.simulated, "without a word of it there is no guarantee"


def test_only_the_word_true_is_a_guarantee(private: Path) -> None:
    for word, simulated in ((1, True), ("true", True), (None, True), (True, False)):
        change(private, "summary.json", lambda s, word=word: s["privacy"].update(guarantee=word))
        run = load_run(private)
        assert chapter(run).simulated is simulated
        assert ("no guarantee" in methods(run)) is simulated
        assert (SEEDED in words(report_html(run))) is simulated


def test_what_was_not_told_is_not_promised(private: Path) -> None:
    change(private, "rounds.jsonl", lambda record: record["sites"].get("c", {}).pop("epsilon", 0))
    limits = " ".join(chapter(load_run(private)).limits)
    assert "Not told by c" in limits and "does not extend to them" in limits


def test_an_epsilon_without_a_bound_is_no_number(private: Path) -> None:
    """What is not finite is null in JSON: the smaller numbers of other sites do not stand in."""
    change(private, "summary.json", lambda s: s["sites"][1].update(epsilon=None))
    run = load_run(private)
    assert spent(run).epsilon == float("inf")
    assert "has no bound" in chapter(run).promise and "beyond epsilon" not in chapter(run).promise
    assert "8.11" not in methods(run)


def test_a_private_run_without_a_round_promises_nothing(private: Path) -> None:
    (private / "summary.json").unlink()
    (private / "rounds.jsonl").write_text("")
    run = load_run(private)
    assert "no site has told what was charged" in chapter(run).promise
    assert "not known" in methods(run)
    assert words(report_html(run))


def test_charged_but_not_received_is_told(private: Path) -> None:
    assert any("late" in limit for limit in chapter(load_run(private)).limits)
    change(private, "rounds.jsonl", lambda record: record.update(late=[]))
    assert not any("late" in limit for limit in chapter(load_run(private)).limits)
    change(private, "rounds.jsonl", lambda record: record["refused"].update(a="unsafe"))
    assert any("late" in limit for limit in chapter(load_run(private)).limits)


def test_shared_noise_names_whom_it_relies_on(make_run: MakeRun) -> None:
    shared = (
        *PRIVATE, "privacy.placement=distributed", "training.local_steps=1", "training.optimizer=sgd",
        "strategy.weighting=uniform", "privacy.honest_sites=3", "participation.min_sites=3",
        "privacy.delta=1e-2",
    )  # fmt: skip
    run = load_run(make_run(settings=shared))
    assert any("3 or more sites in each sum" in limit for limit in chapter(run).limits)
    assert "3 of them assumed honest" in methods(run)


def test_methods_name_the_settings_of_the_private_steps(private: Path) -> None:
    run = load_run(private)
    text = methods(run)
    assert "on batches of 4 patients on average, as patches of 32 × 32 × 32 voxels" in text
    assert "with probability 0.1–0.14 (Poisson sampling)" in text
    assert "to norm 1, and added Gaussian noise with noise multiplier 0.8–1 to the sum." in text
    assert "at most epsilon = 8.11 at delta = 0.01 at any site. The noise was seeded" in text
    assert "gradient norm limited" not in text, "no such limit holds in private steps"
    assert "at each site alone, without privacy, with the same number" in text
    assert "without privacy" in fairness(run) and "samples" not in fairness(run).split(";")[1]


def test_the_curve_has_a_line_a_site_and_one_where_they_are_alike(private: Path) -> None:
    chart = epsilon_chart(load_run(private))
    assert chart is not None
    assert [key.label for key in chart.keys] == ["largest of all sites", "a", "b", "c"]

    def alike(record: dict[str, Any]) -> None:
        one = {"epsilon": float(record["round"])}
        record["sites"] = dict.fromkeys(("a", "b", "c"), one)

    change(private, "rounds.jsonl", alike)
    chart = epsilon_chart(load_run(private))
    assert chart is not None and [key.label for key in chart.keys] == ["every site"]


def test_comparisons_have_a_column_where_a_run_is_private(private: Path, make_run: MakeRun) -> None:
    bare = make_run("bare")
    runs = load_runs([private, bare])
    table = result_table(runs)
    place = table.columns.index("Epsilon")
    assert [row[place] for row in table.rows] == ["8.11", "none"]
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    one, other = (run["privacy"] for run in as_plain(runs)["runs"])
    assert one == {"mode": "patient", "epsilon": pytest.approx(3 * 12**0.4), "delta": 0.01}
    assert other == {"mode": "none", "epsilon": None, "delta": None}
    assert "Epsilon" in compare_html(runs)
    assert "Epsilon" not in result_table(load_runs([bare, bare])).columns


def test_epsilon_is_never_written_smaller_than_it_is() -> None:
    assert [epsilon_spent(v) for v in (7.991, 8.0, 8.0001, 0.0)] == ["8.00", "8.00", "8.01", "0.00"]
    assert epsilon_spent(float("inf")) == "∞" and epsilon_spent(float("nan")) == "–"
    assert span([0.52031, 0.52029]) == "0.5203" and span([1.0, 0.5]) == "0.5–1"
    assert span([]) == span([float("nan")]) == "–"


def test_a_delta_that_would_allow_to_give_a_patient_away_is_named(private: Path) -> None:
    assert not any("Delta is not below" in limit for limit in chapter(load_run(private)).limits)

    def loosen(summary: dict[str, Any]) -> None:
        site = next(site for site in summary["sites"] if site["name"] == "b")
        site["delta"] = 1 / site["patients_train"]

    change(private, "summary.json", loosen)
    (limit,) = [one for one in chapter(load_run(private)).limits if "Delta is not below" in one]
    assert "patients of b:" in limit
