"""`fedvox simulate` as a user types it, in a process of its own, and its summary."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedvox.common.errors import FedvoxError
from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.outcome import Absent

SEED = 0


def data_at(*parts: str) -> Path:
    """A data set in FEDVOX_TEST_DATA, else beside the repository; Absent where it is in neither."""
    home = Path(os.environ.get("FEDVOX_TEST_DATA") or Path.cwd().parent / "shared" / "data")
    path = home.joinpath(*parts)
    if not path.exists():
        raise Absent(
            f"{path}: not here. Put the data there, or set FEDVOX_TEST_DATA to the folder that "
            f"holds {'/'.join(parts)}"
        )
    return path


def simulated(words: Sequence[str], folder: Path, say: Say) -> dict[str, Any]:
    """Runs `fedvox simulate` with these options into a new run directory."""
    if folder.exists():
        shutil.rmtree(folder)
    command = [sys.executable, "-m", "fedvox.common.cli", "simulate", "--out", str(folder)]
    process = subprocess.Popen(
        [*command, "--seed", str(SEED), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        for line in process.stdout or ():
            say(line.rstrip())
    if process.returncode:
        raise FedvoxError(f"fedvox simulate ended with status {process.returncode}; see above")
    return dict(json.loads((folder / "summary.json").read_text()))
