"""Everything the README shows is run here, at a size that takes seconds."""

from __future__ import annotations

import re
import shlex
import time
from contextlib import ExitStack
from pathlib import Path

import dicom_series
import nibabel as nib
import numpy as np
import pytest

from fedvox.common.cli import COMMANDS, main
from fedvox.simulations.local.consortium import Part, free_port

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


class Reader:
    """Types the commands of the README, one after the other, as somebody would who follows it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], stack: ExitStack) -> None:
        self._folder = folder
        self._capsys = capsys
        self._stack = stack
        self._port = str(free_port())
        self.printed: list[str] = []

    def type(self, command: list[str]) -> None:
        words, _, target = " ".join(command[1:]).partition(" > ")
        words = words.replace("8443", self._port)
        if words.endswith(" &"):
            part = Part(words, tuple(words.split()[:-1]), self._folder / f"{len(self.printed)}.log")
            self._stack.callback(part.stop)
            part.begin().wait_ready()
            return
        if command[1:3] == ["study", "result"]:
            self._wait_done(command)
        trains = command[1] in ("simulate", "try") or command[1:3] in (
            ["privacy", "frontier"], ["study", "propose"],
        )  # fmt: skip
        small = SMALL if trains and "--resume" not in command else ()
        asked = [*words.split(), *(word for s in small for word in ("--set", s))]
        patience_s = 60 if command[2:3] == ["approve"] else 0  # a study is seen a moment later
        out = self._run(asked, patience_s)
        if target:
            (self._folder / target).write_text(out)
        self.printed += out.splitlines()

    def _run(self, words: list[str], patience_s: float) -> str:
        end = time.monotonic() + patience_s
        while True:
            status = main(words)
            told = self._capsys.readouterr()
            if status == 0:
                return told.out
            assert time.monotonic() < end, f"{words}: {told.err}"
            time.sleep(0.5)

    def _wait_done(self, command: list[str]) -> None:
        end = time.monotonic() + 120
        while '"state": "done"' not in self._run(["study", "status", *command[3:6], "--json"], 0):
            assert time.monotonic() < end, "the study has not come to its end"
            time.sleep(0.5)


@pytest.mark.xdist_group("consortium")
def test_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDVOX_CACHE", str(tmp_path / "cache"))
    small_msd_folder(tmp_path / "Task04_Hippocampus")
    for number in range(6):
        series = dicom_series.Series(rows=12 + number, number=number + 1, patient=f"PAT-{number}")
        dicom_series.write(tmp_path / "export" / str(number), dicom_series.datasets(series))
    commands = shown_commands()
    assert len(commands) >= 30
    with ExitStack() as stack:
        reader = Reader(tmp_path, capsys, stack)
        for command in commands:
            reader.type(command)
    shapes = {shape(line) for line in reader.printed}
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
