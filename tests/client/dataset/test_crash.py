"""Imports that are killed, that meet a full disk, that run side by side."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import fedvox
from dicom_series import Series, datasets, write
from mounts import small_disk

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.places import Place


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve series of 60 kB each, of six patients."""
    folder = tmp_path_factory.mktemp("export")
    for number in range(1, 13):
        series = Series(6, 80, 64, number=number, patient=f"PAT-{number % 6}")
        write(folder / f"s{number}", datasets(series, series.voxels(number)))
    return folder


@pytest.fixture(scope="module")
def expected(export: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("plain")
    return str(ingested(export, home)["fingerprint"])


def ingested(export: Path, home: Path) -> dict[str, object]:
    said = fedvox("site", "ingest", export, "--dataset", "d", "--home", home, "--json")
    assert said.status == 0, said.err
    found: dict[str, object] = json.loads(said.out.splitlines()[-1])
    return found


def started(export: Path, home: Path) -> subprocess.Popen[str]:
    words = ["site", "ingest", str(export), "--dataset", "d", "--home", str(home), "--json"]
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("fedvox")), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_killed_anywhere_it_goes_on_and_no_case_is_partial(
    export: Path, expected: str, tmp_path: Path
) -> None:
    rng, killed = random.Random(1), 0
    for trial in range(4):
        home = tmp_path / str(trial)
        with started(export, home) as running:
            wait_for_cases(home, rng.randrange(0, 9))
            time.sleep(rng.random() * 0.02)
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
        killed += running.returncode == -signal.SIGKILL
        place = Place(home, "d")
        for path in place.case_files():
            assert path.suffix in (".safetensors", ".part")
        outcome = ingested(export, home)
        assert outcome["fingerprint"] == expected
        assert int(str(outcome["ingested"])) + int(str(outcome["unchanged"])) == 12
        held = Dataset.open(home, "d")
        assert held.damaged() == []
        assert len(place.case_files()) == 12  # no half of a file, and none that nobody names
    assert killed


def wait_for_cases(home: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if len(list((home / "data" / "d" / "cases").glob("*/*"))) >= count:
            return
        time.sleep(0.002)
    raise AssertionError("the import did not come so far")


def test_two_imports_at_once_are_as_one(export: Path, expected: str, tmp_path: Path) -> None:
    both = [started(export, tmp_path) for _ in range(2)]
    outcomes = []
    for running in both:
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        outcomes.append(json.loads(out.splitlines()[-1]))
    held = Dataset.open(tmp_path, "d")
    assert held.version.fingerprint == expected
    assert expected in {outcome["fingerprint"] for outcome in outcomes}
    assert held.damaged() == []
    assert ingested(export, tmp_path)["unchanged"] == 12
    assert len(held.place.case_files()) == 12


def test_a_full_disk_loses_nothing_and_is_told(export: Path, expected: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "700k") as disk:
        home = disk / "home"
        said = fedvox("site", "ingest", export, "--dataset", "d", "--home", home, "--json")
        assert said.status == 1
        assert "free space" in said.err and "run the same command again" in said.err
        assert "Traceback" not in said.err
        before = len(Place(home, "d").case_files())
        assert 0 < before < 12
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        outcome = ingested(export, home)
        assert outcome["fingerprint"] == expected
        # How many were recorded before the disk was full is a matter of luck; none is lost.
        assert int(str(outcome["unchanged"])) + int(str(outcome["ingested"])) == 12
        assert Dataset.open(home, "d").damaged() == []


def test_a_second_import_touches_only_what_changed(export: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "export"
    shutil.copytree(export, copy)
    home = tmp_path / "home"
    first = ingested(copy, home)
    place = Place(home, "d")
    before = {path: path.stat().st_mtime_ns for path in place.case_files()}
    again = ingested(copy, home)
    assert (again["ingested"], again["unchanged"]) == (0, 12)
    assert again["fingerprint"] == first["fingerprint"]
    series = Series(6, 80, 64, number=3, patient="PAT-3")
    write(copy / "s3", datasets(series, series.voxels(99)))
    changed = ingested(copy, home)
    assert (changed["ingested"], changed["unchanged"]) == (1, 11)
    assert changed["fingerprint"] != first["fingerprint"]
    after = {path: path.stat().st_mtime_ns for path in place.case_files()}
    assert {path: after[path] for path in before} == before
    held = Dataset.open(home, "d")
    assert (held.version.number, held.version.cases, held.version.patients) == (2, 12, 6)
