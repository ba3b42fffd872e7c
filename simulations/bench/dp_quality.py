"""Segmentation of real MR images with every patient protected: what privacy costs in Dice.

A small U-Net, for noise grows with what is trained; it begins from phantoms, which are nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.outcome import Headline, Outcome, Row
from fedvox.simulations.bench.runs import data_at, simulated

_MODEL = ("model.channels=[4, 8, 16]", "model.residual_units=1", "training.evaluate_every=0")
_PHANTOMS = (
    *_MODEL, "simulation.sites=4", "simulation.patients=60", "training.rounds=8",
    "training.local_steps=40", "training.batch_size=4",
)  # fmt: skip
_PRIVATE = (
    "privacy.mode=patient", "privacy.epsilon=8.0", "privacy.delta=1e-3",
    "privacy.patients_per_step=16", "privacy.clip_norm=0.3",
)  # fmt: skip
_STEPS = 300
"""Of every site, in all three arms."""
_LOCAL = (f"training.rounds={_STEPS // 30}", "training.local_steps=30", "training.lr=4e-3")
_DISTRIBUTED = (
    "privacy.placement=distributed", "participation.min_sites=4", "strategy.weighting=uniform",
    f"training.rounds={_STEPS}", "training.local_steps=1", "training.optimizer=sgd",
    "training.momentum=0.0", "training.weight_decay=0.0", "training.lr=1.0",
    "training.schedule=constant", "training.warmup=0.0", "strategy.name=fedadam",
    "strategy.server_lr=4e-3", "strategy.tau=1e-8", "strategy.ema=0.95",
)  # fmt: skip


def bench(folder: Path, say: Say) -> Outcome:
    """Phantoms first, then the same study without privacy and with it in both placements."""
    data = data_at("hippocampus")
    runs = folder / "runs"
    begin = runs / "dp-phantoms"
    simulated(_words(_PHANTOMS), begin, say)
    study = ["--data", str(data), "--sites", "4", "--partition", "dirichlet:0.5"]
    study += _words((*_MODEL, f"model.start={begin}"))
    arms = {
        "without privacy": _LOCAL,
        "local noise": (*_LOCAL, *_PRIVATE, "strategy.ema=0.8"),
        "distributed noise": (*_DISTRIBUTED, *_PRIVATE),
    }
    found = {
        name: simulated([*study, *_words(settings)], runs / f"dp-{name.split()[0]}", say)
        for name, settings in arms.items()
    }
    return outcome_of(found)


def outcome_of(found: dict[str, dict[str, Any]]) -> Outcome:
    """The table of the runs' summaries: every model on the test patients of all sites."""
    dice = {name: summary["union"]["dice"] for name, summary in found.items()}
    rows: list[Row] = [
        (name, f"{dice[name]:.4f}", f"{summary['privacy'].get('epsilon', float('inf')):.2f}")
        for name, summary in found.items()
    ]
    plain = dice["without privacy"]
    return Outcome(
        "dp_quality",
        ("model", "Dice, all test patients", "epsilon"),
        rows,
        (
            Headline("local noise over none", dice["local noise"] / plain, ">=", 0.9),
            Headline("distributed noise over none", dice["distributed noise"] / plain, ">=", 0.95),
        ),
        {
            "dice": dice,
            "privacy": {name: summary["privacy"] for name, summary in found.items()},
            "parameters": found["local noise"]["parameters"],
        },
    )


def _words(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
