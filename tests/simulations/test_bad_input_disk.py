"""A disk that is full, a folder that cannot be written: told in one line, and nothing lost."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import Said, cached_in, fedvox, simulate, summary


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert simulate(out, "--rounds=3", "--quiet").status == 0
    return out


@contextmanager
def disk(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped, and says so, where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("NOT TESTED: no file system may be mounted here", stacklevel=1)
        pytest.skip("NOT TESTED: mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def assert_told(said: Said, *parts: str) -> None:
    assert said.status == 1, said.err
    assert said.err.startswith("fedvox simulate: ") and said.err.count("\n") == 1, said.err
    for part in parts:
        assert part in said.err, said.err


def fill(folder: Path, left_kib: int) -> Path:
    """Takes all the room but so much."""
    stat = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * max(stat.f_bavail * stat.f_frsize - left_kib * 1024, 0))
    return ballast


@pytest.mark.parametrize("left_kib", [0, 8, 24, 100, 180, 260])
def test_a_disk_that_runs_full_anywhere_loses_nothing(
    left_kib: int, whole: Path, tmp_path: Path
) -> None:
    with disk(tmp_path / "disk", "size=2m") as small:
        ballast = fill(small, left_kib)
        said = simulate(small / "run", "--rounds=3", "--quiet")
        assert_told(said)
        assert "disk is full" in said.err or "No space left" in said.err
        ballast.unlink()
        if (small / "run/study.toml").exists():
            said = fedvox("simulate", "--resume", small / "run", "--quiet")
        else:
            said = simulate(small / "run", "--rounds=3", "--quiet")
        assert said.status == 0, said.err
        assert summary(small / "run")["model_sha256"] == summary(whole)["model_sha256"]


def test_a_cache_without_room(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=256k") as small, cached_in(small / "cache"):
        said = simulate(tmp_path / "run")
        assert_told(said, str(small / "cache"), "No space left", "FEDVOX_CACHE")
    assert simulate(tmp_path / "run", "--quiet").status == 0


def test_a_run_in_a_read_only_folder(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=64k", "ro") as locked:
        assert_told(simulate(locked / "run"), str(locked), "read-only", "--out")


def test_a_disk_that_becomes_read_only(whole: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=4m") as place:
        run = Path(shutil.copytree(whole, place / "run"))
        remount(place, "ro")
        said = fedvox("simulate", "--resume", run)
        assert_told(said, "read-only")
        remount(place, "rw")
        assert fedvox("simulate", "--resume", run, "--quiet").status == 0
        assert summary(run)["model_sha256"] == summary(whole)["model_sha256"]


def test_a_read_only_cache_that_has_everything_is_enough(whole: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=16m") as place, cached_in(place):
        assert simulate(tmp_path / "first", "--quiet").status == 0
        remount(place, "ro")
        assert simulate(tmp_path / "again", "--quiet").status == 0
        said = simulate(tmp_path / "other", "--seed=1")
        assert_told(said, str(place), "Read-only", "FEDVOX_CACHE")
