"""`fedvox privacy plan` as people and scripts use it."""

import json
import math
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from command import fedvox

from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.noise import noise_for
from fedvox.common.privacy.plan import curve_rounds, quarter_rounds
from fedvox.common.privacy.terms import terms_for
from fedvox.common.study import load_study

TEXT = """
[study]
name = "plan"
[training]
rounds = 8
local_steps = 5
batch_size = 4
[privacy]
mode = "patient"
epsilon = 4.0
"""
FEDVOX = str(Path(sys.executable).with_name("fedvox"))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    return path


def test_the_table_says_what_is_spent_and_needed(study: Path) -> None:
    command = [FEDVOX, "privacy", "plan", str(study), "--patients", "16,80"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, rounded, _, over, heads, *rows = done.stdout.splitlines()
    assert first.startswith("plan: 8 rounds of 5 steps, 4 patients a step")
    assert rounded.endswith("rounded down: 16 as 15")
    assert "epsilon after round" in over and "noise that an epsilon needs" in over
    assert heads.split()[-8:] == ["2", "4", "6", "8", "1", "2", "4", "8"]
    assert len({len(line) for line in (over, heads, *rows)}) == 1
    cells = rows[0].split()
    assert cells[:3] == ["16", "0.2667", "0.01"] and cells[4] == "40"
    noise = float(cells[3])
    assert noise == pytest.approx(noise_for(4.0, 0.01, 4 / 15, 40), rel=1e-3)
    after = [float(cell) for cell in cells[5:9]]
    for quarter, said in enumerate(after, start=1):
        spent = epsilon([Charge(4 / 15, noise, 10 * quarter)], 0.01)
        assert spent <= said + 1e-9 and said == pytest.approx(spent, abs=0.011)
    assert after[-1] == 4.0
    assert cells[9:] == [f"{noise_for(goal, 0.01, 4 / 15, 40):#.4g}" for goal in (1, 2, 4, 8)]
    assert rows[1].split()[:3] == ["80", "0.05", "0.01"]


def test_json_for_scripts(study: Path) -> None:
    said = fedvox(
        "privacy", "plan", study, "--json", "--patients=16,16,40", "--epsilon=2", "--delta=1e-4"
    )
    plan = json.loads(said.out)
    assert said.status == 0 and said.out.count("\n") == 1
    assert (plan["mode"], plan["unit"], plan["rounds"]) == ("patient", "patient", 8)
    assert [site["patients"] for site in plan["sites"]] == [16, 16, 40]
    assert {site["delta"] for site in plan["sites"]} == {1e-4}
    assert 1.97 < plan["epsilon"] <= 2.0
    curve = plan["sites"][0]["epsilon_after_round"]
    assert list(curve) == [str(number) for number in range(1, 9)]
    assert list(curve.values()) == sorted(curve.values())
    needs = plan["sites"][0]["noise_for_epsilon"]
    assert needs["2"] == plan["sites"][0]["noise_multiplier"] < needs["1"]


def test_a_target_on_the_command_line_counts_over_noise_in_the_study(study: Path) -> None:
    noise = "--set=privacy.noise_multiplier=0.7"
    plain = ("privacy", "plan", study, "--json", "--patients=16")
    given = json.loads(fedvox(*plain, noise).out)["sites"][0]
    assert given["noise_multiplier"] == 0.7 and given["epsilon"] > 4
    found = json.loads(fedvox(*plain, noise, "--epsilon=1").out)["sites"][0]
    assert found["noise_multiplier"] > 0.7 and found["epsilon"] <= 1


def test_what_is_taken_for_granted_is_said(study: Path) -> None:
    said = fedvox("privacy", "plan", study, "--set=privacy.mode=none").out
    assert "privacy.mode is none: nothing is protected" in said
    assert "simulation.patients = 24" in said and re.search(r"^ +16 ", said, re.MULTILINE)
    assert "simulation.patients" not in fedvox("privacy", "plan", study, "--patients=9").out
    summed = (
        "privacy.mode=patient", "privacy.placement=distributed", "training.local_steps=1",
        "training.optimizer=sgd", "strategy.weighting=uniform", "privacy.delta=1e-2",
    )  # fmt: skip
    shared = ("privacy", "plan", study, "--patients=9", *(f"--set={one}" for one in summed))
    every_step = fedvox(*shared).out
    assert "each site adds 1/1.414 of the noise; holds if 2 sites or more" in every_step


@pytest.mark.parametrize("patients", [1, 7, 16, 33, 104])
def test_the_plan_is_what_a_site_of_so_many_patients_will_do(study: Path, patients: int) -> None:
    said = fedvox("privacy", "plan", study, "--json", f"--patients={patients}").out
    (planned,) = json.loads(said)["sites"]
    terms = terms_for(load_study(study), bucketed(patients))
    assert planned["patients"] == patients
    for name in ("sample_rate", "noise_multiplier", "delta"):
        assert planned[name] == getattr(terms, name)


def test_a_delta_that_could_give_a_patient_away_is_told(study: Path) -> None:
    words = ("privacy", "plan", study, "--patients=40,400", "--delta=0.01")
    careful = [line for line in fedvox(*words).out.splitlines() if line.startswith("CAREFUL")]
    assert careful == [line for line in careful if "not below 1/400" in line] and len(careful) == 1
    assert "give 0.001 or less" in careful[0]
    assert "CAREFUL" not in fedvox(*words[:-1]).out


def test_no_noise_shows_as_infinity(study: Path) -> None:
    words = ("privacy", "plan", study, "--patients=9", "--set=privacy.noise_multiplier=0.001")
    assert fedvox(*words).out.splitlines()[-1].split()[5:9] == ["inf"] * 4
    assert json.loads(fedvox(*words, "--json").out)["epsilon"] is None


@pytest.mark.parametrize("name", ["plan.svg", "plan.png"])
def test_the_picture(study: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    said = fedvox("privacy", "plan", study, "--patients=16,80", "--plot", path)
    assert said.status == 0 and said.out.splitlines()[-1] == str(path)
    if name.endswith("png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    else:
        assert ET.parse(path).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--plot=plan.pdf"], ".svg or .png"),
        (["--patients=0"], "whole numbers above 0"),
        (["--patients=ten"], "whole numbers above 0"),
        (["--delta=1e-30"], "delta"),
        (["--epsilon=-1"], "privacy.epsilon"),
        (["--epsilon=0"], "privacy.epsilon"),
    ],
)
def test_bad_input(study: Path, words: list[str], told: str) -> None:
    said = fedvox("privacy", "plan", study, *words)
    assert (said.status, said.out) == (2, "") and told in said.err


def test_in_a_terminal_it_draws(study: Path) -> None:
    """A pseudo-terminal, since that is what the command asks for."""
    main, side = pty.openpty()
    command = [FEDVOX, "privacy", "plan", str(study), "--patients=16"]
    done = subprocess.run(command, stdout=side, timeout=60, check=True)
    os.close(side)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    lines = shown.decode().splitlines()
    assert done.returncode == 0 and sum("*" in line for line in lines) >= 4
    assert any(re.match(r" +(4\.00|3\.99) \| +\*$", line) for line in lines)


def test_the_group_and_the_command_explain_themselves() -> None:
    assert "plan" in fedvox("privacy", "--help").out
    assert "STUDY.toml" in fedvox("privacy", "plan", "--help").out
    assert fedvox("privacy").status == 2
    assert fedvox("privacy", "pln").status == 2


def test_the_group_loads_no_command_before_it_is_called() -> None:
    code = (
        "import argparse, sys, fedvox.common.privacy.cli as group\n"
        "group.add_arguments(argparse.ArgumentParser())\n"
        "heavy = ('numpy', 'scipy', 'matplotlib', 'torch', 'fedvox.common.privacy.plan_cli')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 20, 500])
def test_rounds_worth_showing(rounds: int) -> None:
    quarters, curve = quarter_rounds(rounds), curve_rounds(rounds)
    assert set(quarters) <= set(curve) and curve[-1] == quarters[-1] == rounds
    assert curve[0] >= 1 and len(curve) <= 30 and list(curve) == sorted(set(curve))
    assert len(quarters) == min(4, rounds)
    assert quarters[0] == math.ceil(rounds / 4)
