from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fedvox.common.errors import InputError
from fedvox.server.report import cli_compare, cli_report
from fedvox.server.report.compare import (
    compare_html,
    difference_table,
    load_runs,
    print_table,
    result_table,
)

MakeRun = Callable[..., Path]


def parsed(module: object, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(words)


@pytest.fixture
def folders(make_run: MakeRun) -> list[Path]:
    return [
        make_run("first"),
        make_run("second", seed=3, strategy="fedprox", settings=("strategy.mu=0.1",)),
        make_run("bare", baselines=False),
    ]


def test_differences_are_the_keys_that_differ(folders: list[Path]) -> None:
    table = difference_table(load_runs(folders))
    assert table is not None
    assert table.columns == ("Key", "first", "second", "bare")
    assert {row[0]: row[1:] for row in table.rows} == {
        "study.seed": ("0", "3", "0"),
        "strategy.name": ('"fedavg"', '"fedprox"', '"fedavg"'),
        "strategy.mu": ("0.01", "0.1", "0.01"),
    }


def test_results_have_a_row_a_run(folders: list[Path]) -> None:
    table = result_table(load_runs(folders))
    summary = json.loads((folders[1] / "summary.json").read_text())
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["Strategy"] == "FedProx" and row["Rounds"] == "12/12"
    assert row["Dice"] == f"{summary['union']['dice']:.3f}"
    assert row["Pooled"] == f"{summary['baselines']['pooled']['metrics']['dice']:.3f}"
    assert table.rows[2][-4:-2] == ("–", "–")


def test_runs_of_one_name_are_told_apart(make_run: MakeRun, tmp_path: Path) -> None:
    one, other = make_run("a/run", rounds=2), make_run("b/run", rounds=2)
    assert [item.name for item in load_runs([one, other])] == [str(one), str(other)]


def test_the_terminal_table_fits_eighty_columns(folders: list[Path]) -> None:
    written = StringIO()
    print_table(load_runs(folders), Console(file=written, width=80))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:4] == ["Strategy", "FedAvg", "FedProx", "FedAvg"] for line in lines)


def test_the_page_loads_nothing(folders: list[Path]) -> None:
    html = compare_html(load_runs(folders))
    assert "http" not in html and "<script" not in html
    assert html.count("<svg") == 2 and "strategy.mu" in html


def test_compare_writes_page_and_json(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "side.html"
    args = parsed(cli_compare, *map(str, folders), "--json", "--out", str(out))
    assert cli_compare.run(args) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in plain["runs"]] == ["first", "second", "bare"]
    assert plain["differences"]["study.seed"] == {"first": 0, "second": 3, "bare": 0}
    assert plain["runs"][2]["pooled"] is None
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_one_run_is_not_a_comparison(folders: list[Path]) -> None:
    with pytest.raises(InputError, match="at least two"):
        cli_compare.run(parsed(cli_compare, str(folders[0])))


def test_report_prints_where_it_is(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(rounds=2)
    assert cli_report.run(parsed(cli_report, str(folder))) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"


def test_commands_load_nothing_heavy_to_print_their_help() -> None:
    code = (
        "import sys, fedvox.server.report.cli_report, fedvox.server.report.cli_compare\n"
        "heavy = {'matplotlib', 'jinja2', 'rich', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
