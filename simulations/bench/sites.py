"""Memory of a whole run with 1,000 virtual sites against that of one with 10."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median

from fedvox.simulations.bench.measure import Fresh, Say, fresh_process, interleaved, median_ratio
from fedvox.simulations.bench.outcome import Headline, Outcome

FEW, MANY = 10, 1000
REPEATS = 5
_LIMIT_S = 900.0
_TINY = (
    "simulation.patients=4",
    "simulation.workers=2",
    "data.dims=2",
    "data.patch=[16, 16]",
    "model.channels=[4, 8]",
    "training.rounds=1",
    "training.local_steps=1",
    "training.batch_size=2",
    "training.evaluate_every=0",
    "training.device=cpu",
)


def bench(folder: Path, say: Say) -> Outcome:
    """Whole runs, from the phantoms to the report, each in a process of its own."""
    runs: dict[int, list[Fresh]] = {FEW: [], MANY: []}

    def mebibytes(sites: int) -> float:
        runs[sites].append(run(sites))
        return runs[sites][-1].peak_bytes / 2**20

    arms = {f"{sites} sites": sites for sites in runs}
    peaks = interleaved(
        {name: partial(mebibytes, sites) for name, sites in arms.items()},
        REPEATS,
        lambda text: say(f"peak MiB {text}"),
    )
    few, many = (peaks[name] for name in arms)
    rows = [
        (name, f"{median(peaks[name]):.0f}", f"{median(r.seconds for r in runs[sites]):.1f}")
        for name, sites in arms.items()
    ]
    return Outcome(
        "sites",
        ("whole run, one round", "peak MiB", "seconds"),
        rows,
        (Headline(f"peak memory of {MANY} sites over {FEW}", median_ratio(many, few), "<=", 1.25),),
        {
            "peak_mib": peaks,
            "seconds": {name: [r.seconds for r in runs[sites]] for name, sites in arms.items()},
        },
    )


def run(sites: int) -> Fresh:
    """One run with so many sites."""
    settings = [*_TINY, f"simulation.sites={sites}"]
    return fresh_process("whole_run", _LIMIT_S, settings=settings)
