"""The real bundle: what is in it, and that it installs and works with nothing around it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from bundles import DEPLOY, TOP, Bundle, alone

pytestmark = pytest.mark.slow


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wheels(release: Bundle) -> dict[str, str]:
    """Name -> version of the wheels."""
    parts = [path.name.split("-") for path in (release.folder / "wheels").glob("*.whl")]
    return {plain(name): version for name, version, *_ in parts}


def test_it_holds_what_is_pinned_and_nothing_for_cards(release: Bundle) -> None:
    found = wheels(release)
    lines = (TOP / "constraints.txt").read_text().split()
    pinned = {plain(name): version for name, version in (line.split("==") for line in lines)}
    other = {n: v for n, v in found.items() if n in pinned and v.partition("+")[0] != pinned[n]}
    assert not other and set(found) - set(pinned) == {"fedvox", "pip", "setuptools"}
    assert not [name for name in found if name.startswith(("nvidia", "cuda", "triton"))]
    needed = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {plain(re.match(r"[\w.-]+", line)[0]) for line in needed}  # type: ignore[index]
    assert names <= set(found)
    assert not list((release.folder / "wheels").glob("*.tar.gz"))


def test_the_documents_and_scripts_are_those_of_the_sources(release: Bundle) -> None:
    for path in (p for p in DEPLOY.rglob("*") if p.is_file()):
        name = path.relative_to(DEPLOY)
        if name.name not in ("bundle.sh", "sign.sh"):
            assert (release.folder / name).read_bytes() == path.read_bytes(), name
    assert (release.folder / "install.sh").stat().st_mode & 0o111


def test_it_installs_and_works_without_network_or_home(release: Bundle, tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir()
    command = [release.folder / "install.sh", "--role", "site", "--root", root]
    done = alone([*map(str, command), "--fingerprint", release.fingerprint], home)
    assert done.returncode == 0, done.stderr
    assert not list(home.iterdir())
    program = str(root / "opt/fedvox/current/bin/fedvox")
    made = alone([program, "consortium", "init", str(tmp_path / "consortium")], home)
    assert made.returncode == 0, made.stderr
    small = ["training.rounds=1", "training.local_steps=1", "simulation.patients=6"]
    small += ["model.channels=[4, 8]", "data.validation=0.0"]
    words = [word for setting in small for word in ("--set", setting)]
    run = alone(
        [program, "simulate", "--quiet", "--sites", "2", "--out", str(tmp_path / "run"), *words],
        home,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run/report.html").stat().st_size > 1000


def test_make_bundle_is_what_was_tried() -> None:
    told = subprocess.run(["make", "-n", "bundle"], cwd=TOP, capture_output=True, text=True)
    assert re.search(r"deploy/bundle\.sh \S+/bin/python dist \S+", told.stdout), told.stderr
