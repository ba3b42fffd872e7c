"""Everything the README shows is run here, at a size that takes seconds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedvox.common.cli import COMMANDS, main

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
SMALL = (
    "training.rounds=2", "training.local_steps=1", "training.batch_size=1",
    "model.channels=[4, 8]", "model.residual_units=0", "simulation.patients=6",
)  # fmt: skip


def shown_commands() -> list[list[str]]:
    """Lines that begin with a prompt, without their comments."""
    lines = re.findall(r"^ *\$ (fedvox .*)$", README, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def small_msd_folder(folder: Path) -> None:
    """Forty cases as the Medical Segmentation Decathlon lays them out."""
    rng = np.random.default_rng(0)
    training = []
    for number in range(40):
        label = np.zeros((32, 32, 32), np.uint8)
        start = rng.integers(4, 12)
        label[start : start + 8, 8 : 12 + number // 3, 8:20] = 1
        name = f"case_{number:02d}.nii.gz"
        for part, array in (
            ("imagesTr", label + rng.normal(0, 0.2, label.shape)),
            ("labelsTr", label),
        ):
            (folder / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array.astype(np.float32), np.eye(4)), folder / part / name)
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    text = str({
        "name": "Blocks", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "block"},
        "numTraining": 40, "training": training,
    }).replace("'", '"')  # fmt: skip
    (folder / "dataset.json").write_text(text)


def shape(line: str) -> str:
    """A line with its numbers, hashes and blanks made equal."""
    line = re.sub(r"\s+", " ", re.sub(r"-?\d[\d.\u202f]*", "#", line.strip()))
    return re.sub(r"(# ?(ms|s|min|h|kB|MB|GB)\b ?)+", "# ", line).strip()


def test_the_commands_work_and_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDVOX_CACHE", str(tmp_path / "cache"))
    small_msd_folder(tmp_path / "Task04_Hippocampus")
    commands = shown_commands()
    assert len(commands) >= 8
    printed: list[str] = []
    for command in commands:
        words, _, target = " ".join(command[1:]).partition(" > ")
        trains = command[1] == "simulate" or command[1:3] == ["privacy", "frontier"]
        small = SMALL if trains and "--resume" not in command else ()
        status = main([*words.split(), *(word for s in small for word in ("--set", s))])
        out = capsys.readouterr().out
        assert status == 0, command
        if target:
            (tmp_path / target).write_text(out)
        printed += out.splitlines()
    shapes = {shape(line) for line in printed}
    transcript = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert transcript is not None
    written = [
        line for line in transcript[1].splitlines() if line not in ("$ make simulate", "...")
    ]
    assert len(written) > 20
    unseen = [line for line in written if line.strip() and shape(line) not in shapes]
    assert not unseen


def test_every_command_stands_in_the_readme() -> None:
    for name in COMMANDS:
        assert f"fedvox {name}" in README, name


def test_the_two_commands_stand_first_and_exist() -> None:
    first_screen = README.splitlines()[:24]
    makefile = (TOP / "Makefile").read_text()
    for target in ("simulate", "test"):
        assert any(f"make {target}" in line for line in first_screen)
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (TOP / target).exists(), target
