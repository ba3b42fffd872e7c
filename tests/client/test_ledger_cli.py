"""`fedvox site ledger`: read in a minute, by people and by scripts."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from command import fedvox
from ledgers import CAPS, opened, place, reserved, rows, sha, tampering, work

from fedvox.client.ledger.show import chart
from fedvox.client.ledger.summary import Point
from fedvox.client.ledger.versions import open_ledger
from fedvox.common.errors import Refusal, SiteError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets; one of two versions, with two studies, a cap that was reached and a refusal."""
    home = tmp_path_factory.mktemp("site")
    with opened(home) as ledger:
        for number in (1, 2):
            ledger.release(reserved(ledger, work(number)), sha(number))
    with opened(home, CAPS, "v2") as ledger:
        ledger.release(reserved(ledger, work(1, "lung", noise=3.0)), sha("lung"))
        ledger.refuse(reserved(ledger, work(3)), Refusal.UNSAFE, "the norm is off")
        with pytest.raises(SiteError):
            ledger.reserve(work(4, steps=3000))
    with open_ledger(home, "prostate", "v1", CAPS):
        pass
    return home


def told(home: Path, *words: str) -> dict[str, Any]:
    said = fedvox("site", "ledger", "--home", home, "--json", *words)
    assert said.err == "" and said.status in (0, 1)
    ledgers = json.loads(said.out)["ledgers"]
    return {f"{item['dataset']} {item['version']}": item for item in ledgers}


def test_scripts_are_told_everything(home: Path) -> None:
    ledgers = told(home)
    assert list(ledgers) == ["hippocampus v1", "hippocampus v2", "prostate v1"]
    first, second = ledgers["hippocampus v1"], ledgers["hippocampus v2"]
    assert (first["closed"], first["predecessor"], first["rows"]) == (True, "", 6)
    assert (second["closed"], second["predecessor"], second["rows"]) == (False, "v1", 6)
    row = rows(home, "v2")[-1]
    assert second["head"] == row["hash"] and second["verified"] is True
    assert second["life"] == {
        "epsilon": row["life_after"], "delta": 1e-3, "cap": 12.0, "left": 12.0 - row["life_after"],
    }  # fmt: skip
    brain, lung = second["studies"]
    assert brain == {
        "name": "brain", "rounds": 1, "steps": 30, "charged": 1, "released": 0, "refused": 2,
        "inherited": True, "last": row["time"],
        "spent": {"epsilon": row["study_after"], "delta": 1e-3, "cap": 8.0,
                  "left": 8.0 - row["study_after"]},
    }  # fmt: skip
    assert (lung["inherited"], lung["released"]) == (False, 1)
    refusals = [(item["code"], item["times"]) for item in second["refusals"]]
    assert refusals == [("budget", 1), ("unsafe", 1)]
    assert len(second["course"]) == 3 and len(second["last"]) == 5
    assert list(told(home, "--dataset", "prostate")) == ["prostate v1"]


def test_what_was_inherited_is_there_before_anything_new_is_spent(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        spent = reserved(ledger, work(1)).study_epsilon
    opened(tmp_path, CAPS, "v2").close()
    ledger_of_v2 = told(tmp_path)["hippocampus v2"]
    (study,) = ledger_of_v2["studies"]
    assert (study["spent"]["epsilon"], study["rounds"]) == (spent, 0)
    assert ledger_of_v2["life"]["epsilon"] == spent


def test_people_are_told_what_is_spent_what_is_left_and_why_not(home: Path) -> None:
    said = fedvox("site", "ledger", "--home", home, "--dataset", "hippocampus")
    assert said.status == 0
    row = rows(home, "v2")[-1]
    left = 12.0 - row["life_after"]
    assert "hippocampus, version v1, closed: a later version goes on from it" in said.out
    assert f"whole life: epsilon {row['life_after']:.3f} of 12 spent at delta 0.001" in said.out
    assert f"{left:.3f} left" in said.out
    for word in ("brain *", "lung", "refused: budget", "the norm is off", "charged", "sent", "█"):
        assert word in said.out, word
    assert max(map(len, said.out.splitlines())) <= 100
    assert "prostate" not in said.out


def test_a_ledger_in_which_nothing_happened_yet_can_be_shown(home: Path) -> None:
    said = fedvox("site", "ledger", "--home", home, "--dataset", "prostate", "--last", "0")
    assert said.status == 0 and "epsilon 0.000 spent" in said.out


def test_verify_is_short_where_all_is_well(home: Path) -> None:
    said = fedvox("site", "ledger", "--home", home, "--verify")
    assert said.status == 0
    assert said.out.splitlines()[:2] == [
        "hippocampus, version v1, closed: a later version goes on from it",
        f"  whole: 6 rows, the last with hash {rows(home)[-1]['hash']}",
    ]
    assert len(said.out.splitlines()) == 6


@pytest.mark.parametrize("words", [(), ("--verify",), ("--json",), ("--json", "--verify")])
def test_a_changed_row_is_named_and_the_status_is_1(tmp_path: Path, words: tuple[str, ...]) -> None:
    for version in ("v1", "v2"):
        with opened(tmp_path, CAPS, version) as ledger:
            reserved(ledger, work(1, version))
            reserved(ledger, work(2, version))
    with tampering(tmp_path, "v2") as connection:
        connection.execute("UPDATE entries SET steps = 'none' WHERE sequence = 3")
    said = fedvox("site", "ledger", "--home", tmp_path, *words)
    assert said.status == 1 and "row 3 is not what was written" in said.out
    if "--json" in words:
        whole, changed = json.loads(said.out)["ledgers"]
        assert (whole["verified"], changed["verified"]) == (True, False)
        assert (changed["rows"], changed["trusted_rows"]) == (3, 2)
        assert changed["findings"][0]["sequence"] == 3
    else:
        assert "CHANGED" in said.out


@pytest.mark.parametrize("words", [(), ("--verify",), ("--json",)])
def test_a_missing_ledger_or_anchor_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    with opened(tmp_path) as ledger:
        reserved(ledger, work())
    place(tmp_path).anchor.rename(tmp_path / "kept")
    said = fedvox("site", "ledger", "--home", tmp_path, *words)
    assert said.status == 1 and "v1.anchor: missing" in said.out
    (tmp_path / "kept").rename(place(tmp_path).anchor)
    place(tmp_path).rows.unlink()
    said = fedvox("site", "ledger", "--home", tmp_path, *words)
    assert said.status == 1 and "all rows are missing" in said.out


def test_no_ledger_and_an_unknown_data_set_are_bad_input(home: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        said = fedvox("site", "ledger", "--home", folder)
        assert (said.status, said.out) == (2, "") and "no ledger here" in said.err
    said = fedvox("site", "ledger", "--home", home, "--dataset", "hippocamps")
    assert said.status == 2 and "did you mean 'hippocampus'?" in said.err
    assert fedvox("site", "ledger").status == 2 and fedvox("site").status == 2
    said = fedvox("site", "ledger", "--home", home, "--plot", tmp_path / "plot.png")
    assert said.status == 2 and ".svg" in said.err


def test_the_drawing_has_a_panel_for_each_ledger(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "epsilon.svg"
    said = fedvox("site", "ledger", "--home", home, "--verify", "--plot", path)
    assert said.status == 0 and said.out.splitlines()[-1] == str(path)
    ids = [node.get("id", "") for node in ET.parse(path).iter()]
    assert {"axes_1", "axes_2", "axes_3"} <= set(ids) and "axes_4" not in ids


def test_the_chart_rises_with_epsilon_and_ends_where_it_ends() -> None:
    times = [f"2026-03-{day:02d}T12:00:00.000+00:00" for day in (1, 2, 4)]
    course = [Point(time, life, "", 0.0) for time, life in zip(times, (0.0, 4.0, 8.0), strict=True)]
    lines = chart(course, cap=8.0)
    bars = [line.partition("│")[2] for line in lines if "│" in line]
    assert len(bars) == 8 and {len(bar) for bar in bars} == {60}
    heights = [sum(bar[column] == "█" for bar in bars) for column in range(60)]
    assert heights == [0] * 19 + [4] * 40 + [8]
    assert "2026-03-01 12:00" in lines[-1] and lines[-1].endswith("2026-03-04 12:00")
    assert chart([], None) == chart(course[:1], 8.0) == []


def test_charges_at_one_moment_are_drawn_in_their_order() -> None:
    course = [Point("2026-03-01T12:00:00.000+00:00", life, "", 0.0) for life in (1.0, 2.0)]
    bars = [line.partition("│")[2] for line in chart(course, None) if "│" in line]
    assert bars[-1] == "█" * 60 and bars[0] == " " * 59 + "█"


def test_looking_needs_nothing_heavy(home: Path) -> None:
    code = (
        "import sys\nfrom fedvox.common.cli import main\n"
        f"status = main(['site', 'ledger', '--home', {str(home)!r}])\n"
        "heavy = {'torch', 'scipy', 'dp_accounting', 'matplotlib', 'opacus'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
