"""Segmentation of real MR images by the defaults of the product: what is lost by federating."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.outcome import Headline, Outcome, Row
from fedvox.simulations.bench.runs import data_at, simulated

_LIMIT_S = 600.0
_PARAMETERS = (1_000_000, 2_000_000)


def bench(folder: Path, say: Say) -> Outcome:
    """One run with nothing set but data, sites, partition and baselines."""
    data = data_at("hippocampus")
    words = ["--data", str(data), "--sites", "4", "--partition", "dirichlet:0.5", "--baselines"]
    return outcome_of(simulated(words, folder / "runs" / "hippocampus", say))


def outcome_of(summary: dict[str, Any]) -> Outcome:
    """The table of a run's summary: every model on the test patients of all sites."""
    dice = summary["union"]["dice"]
    pooled = summary["baselines"]["pooled"]
    alone = {name: one for name, one in summary["baselines"]["local"].items() if "metrics" in one}
    best = max(alone, key=lambda name: alone[name]["metrics"]["dice"])
    best_dice, pooled_dice = alone[best]["metrics"]["dice"], pooled["metrics"]["dice"]
    rows: list[Row] = [
        ("federated", f"{dice:.4f}", str(summary["steps"]["federated"])),
        ("pooled", f"{pooled_dice:.4f}", str(pooled["steps"])),
        *(
            (f"{name} alone", f"{one['metrics']['dice']:.4f}", str(one["steps"]))
            for name, one in alone.items()
        ),
    ]
    parameters = summary["parameters"]
    low, high = _PARAMETERS
    return Outcome(
        "hippocampus",
        ("model", "Dice, all test patients", "steps"),
        rows,
        (
            Headline("Dice", dice, ">=", 0.83),
            Headline("federated over best site alone", dice / best_dice, ">=", 1.0),
            Headline("minutes", summary["wall_s"] / 60, "<=", _LIMIT_S / 60),
            Headline("federated over pooled", dice / pooled_dice, ">=", 0.98),
        ),
        {
            "dice": dice,
            "pooled_dice": pooled_dice,
            "best_alone": best,
            "best_alone_dice": best_dice,
            "seconds": {name: summary[f"{name}_s"] for name in ("train", "baselines", "wall")},
            "parameters": parameters,
            "seed": summary["seed"],
            "union": summary["union"],
        },
        (
            f"{parameters:,} parameters ({'within' if low <= parameters <= high else 'NOT within'} "
            f"1 to 2 M); {summary['train_s']:.0f} s federated, {summary['baselines_s']:.0f} s "
            f"baselines, seed {summary['seed']}",
        ),
    )
