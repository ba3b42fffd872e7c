"""Segmentation of real MR images with every patient protected: what privacy costs in Dice.

The network learns first on drawn heads, which are nobody's. What is left for the patients to teach
it is above all how real images look, and that is learnt in the first layers: the private arms train
those, the norms and the biases, for noise grows with what is trained. The arm without privacy that
they are held against trains everything, in as many rounds and five times as many steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedvox.simulations.bench.dp_phantoms import write_phantoms
from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.outcome import Headline, Outcome, Row
from fedvox.simulations.bench.runs import SEED, data_at, simulated

_DRAWN = 600
MODEL = (
    "model.channels=[8, 16, 32]", "model.residual_units=1", "training.evaluate_every=0",
    "simulation.threads=1",
)  # fmt: skip
_BEGIN = (
    *MODEL, "simulation.sites=1", "participation.min_sites=1", "data.patch=[32, 48, 32]",
    "data.test=0.04", "data.validation=0.0", "training.rounds=10", "training.local_steps=140",
    "training.batch_size=4", "training.lr=6e-3", "training.augment.rotate=0.5",
    "training.augment.scale=0.5", "training.augment.noise=0.3", "training.augment.contrast=0.5",
    "training.augment.blur=0.3",
)  # fmt: skip
_ROUNDS = 60
_FIRST_LEVELS = (
    'model.freeze=["model.1.submodule.[12].*conv.weight", '
    '"model.1.submodule.[12].*residual.weight", "model.2.*conv.weight"]'
)
"""What is left as it is: the weights of all convolutions but those of the first two levels."""
# Every patient in every step, and the coordinator adapts the step to the sum: of all ways to share
# out a fixed epsilon this leaves most of it to what is learnt.
_PRIVATE = (
    _FIRST_LEVELS, "privacy.mode=patient", "privacy.epsilon=8.0", "privacy.delta=1e-3",
    "privacy.patients_per_step=64", "privacy.clip_norm=0.3", f"training.rounds={_ROUNDS}",
    "training.local_steps=1", "training.optimizer=sgd", "training.momentum=0.0",
    "training.weight_decay=0.0", "training.lr=1.0", "training.schedule=cosine",
    "training.warmup=0.0", "strategy.name=fedadam", "strategy.tau=1e-8", "strategy.ema=0.9",
    "strategy.server_lr=8e-3",
)  # fmt: skip
ARMS = {
    "without privacy": (
        f"training.rounds={_ROUNDS}", "training.local_steps=5", "training.lr=4e-3",
    ),
    "local noise": _PRIVATE,
    "distributed noise": (
        *_PRIVATE, "privacy.placement=distributed", "participation.min_sites=4",
        "strategy.weighting=uniform",
    ),
}  # fmt: skip


def bench(folder: Path, say: Say) -> Outcome:
    """Drawn heads first, then the same study without privacy and with it in both placements."""
    data = data_at("hippocampus")
    runs = folder / "runs"
    drawn, begin = runs / "dp-drawn", runs / "dp-begin"
    write_phantoms(drawn, _DRAWN, SEED)
    simulated(["--data", str(drawn), *_words(_BEGIN)], begin, say)
    study = ["--data", str(data), "--sites", "4", "--partition", "dirichlet:0.5"]
    study += _words((*MODEL, f"model.start={begin}"))
    found = {
        name: simulated([*study, *_words(settings)], runs / f"dp-{name.split()[0]}", say)
        for name, settings in ARMS.items()
    }
    return outcome_of(found)


def outcome_of(found: dict[str, dict[str, Any]]) -> Outcome:
    """The table of the runs' summaries: every model on the test patients of all sites."""
    dice = {name: summary["union"]["dice"] for name, summary in found.items()}
    plain = dice["without privacy"]
    rows: list[Row] = [
        (
            name,
            f"{dice[name]:.4f}",
            f"{dice[name] / plain:.3f}",
            f"{summary['privacy'].get('epsilon', float('inf')):.2f}",
        )
        for name, summary in found.items()
    ]
    return Outcome(
        "dp_quality",
        ("model", "Dice, all test patients", "over none", "epsilon"),
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
