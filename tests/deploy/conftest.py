"""One real bundle for all tests that need one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bundles import DEPLOY, Bundle


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of this working tree, built and unpacked."""
    place = tmp_path_factory.mktemp("bundle")
    done = subprocess.run(
        [DEPLOY / "bundle.sh", sys.executable, place / "out", place / "release.key"],
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (tar,) = (place / "out").iterdir()
    subprocess.run(["tar", "-xf", tar, "-C", place], check=True, timeout=120)
    fingerprint = done.stdout.split("fingerprint:")[1].splitlines()[0].replace(" ", "")
    tar.unlink()
    return Bundle(place / tar.stem, fingerprint)
