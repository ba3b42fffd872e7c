"""`fedvox site ingest` of CT series against dcm2niix on the same files, in the same run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from fedvox.client.dataset.dataset import Dataset
from fedvox.common.errors import FedvoxError
from fedvox.simulations.bench.ct_series import write_series
from fedvox.simulations.bench.measure import Say, interleaved, median_ratio
from fedvox.simulations.bench.outcome import Absent, Headline, Outcome

SERIES, SLICES = 20, 500
REPEATS = 3
_MAP_SIDE = 96


def bench(folder: Path, say: Say) -> Outcome:
    """Whole commands, start-up included; then how long it takes to open a prepared volume."""
    if not shutil.which("dcm2niix"):
        raise Absent("dcm2niix is not installed; it is a Debian package")
    place = folder / "ingest"
    shutil.rmtree(place, ignore_errors=True)
    try:
        say(f"{SERIES} series of {SLICES} slices are written")
        size = write_series(place / "in", SERIES, SLICES)
        arms = {"dcm2niix": partial(_niix, place), "fedvox": partial(_own, place)}
        seconds = interleaved(arms, REPEATS, lambda text: say(f"seconds {text}"))
        again = _own(place, fresh=False)
        opened = _opening_ms(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    own, niix = seconds["fedvox"], seconds["dcm2niix"]
    rows = [
        (name, f"{median(taken):.1f}", f"{size / 2**20 / median(taken):.0f}")
        for name, taken in seconds.items()
    ]
    rows.append(("fedvox, the same again", f"{again:.1f}", f"{size / 2**20 / again:.0f}"))
    return Outcome(
        "ingest",
        (f"{SERIES} x {SLICES} CT slices, {size / 2**30:.1f} GiB", "seconds", "MiB/s"),
        rows,
        (
            Headline("fedvox site ingest over dcm2niix", median_ratio(own, niix), "<=", 1.5),
            Headline(f"ms to open a volume of {_MAP_SIDE}^3", opened, "<=", 5.0),
        ),
        {"seconds": seconds, "again_s": again, "bytes": size},
    )


def _niix(place: Path) -> float:
    out = place / "niix"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = ["dcm2niix", "-z", "n", "-b", "n", "-o", str(out), str(place / "in")]
    return _timed(command)


def _own(place: Path, fresh: bool = True) -> float:
    home = place / "home"
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fedvox.common.cli", "site", "ingest", str(place / "in")]
    taken = _timed([*command, "--dataset", "ct", "--home", str(home), "--json"])
    if len(Dataset.open(home, "ct").cases()) != SERIES:
        raise FedvoxError("not every series was taken in")
    return taken


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FedvoxError(f"{command[0]}: {done.stderr[-500:] or json.dumps(done.stdout[-500:])}")
    return time.perf_counter() - begun


def _opening_ms(place: Path) -> float:
    """Of a prepared volume in the store that training reads, the median of many."""
    from fedvox.client.store import Store
    from fedvox.common.tasks.task import Prepared

    side = (_MAP_SIDE,) * 3
    image, label = np.zeros((1, *side), np.float32), np.zeros(side, np.uint8)
    made = Store(place / "store", "contract")
    case = Prepared(image, label, (1.0, 1.0, 1.0), np.zeros((0, 4), np.int32))
    for number in range(50):
        made.put(f"case{number}", case)
    store, taken = Store(place / "store", "contract"), []
    for number in range(50):
        begun = time.perf_counter()
        store.get(f"case{number}").image[0, 0, 0, 0].item()
        taken.append(1000 * (time.perf_counter() - begun))
    return median(taken)
