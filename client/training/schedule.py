"""The learning rate over a whole study, and the stretch of it that one piece of work covers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedvox.common.study.sections import TrainingSection


@dataclass(frozen=True)
class Stretch:
    """Gradient steps that cover the study's schedule from `begin` to `end` (0 to 1)."""

    steps: int
    begin: float
    end: float
    first_example: int = 0
    """Examples drawn before this stretch: where in its shuffled cases a site goes on."""


def stretch_of_round(training: TrainingSection, round_number: int) -> Stretch:
    """What a site does in round `round_number`, counted from 1."""
    done = round_number - 1
    return Stretch(
        steps=training.local_steps,
        begin=done / training.rounds,
        end=round_number / training.rounds,
        first_example=done * training.local_steps * training.batch_size,
    )


def learning_rate(training: TrainingSection, progress: float) -> float:
    """The rate after the share `progress` of the study."""
    if progress < training.warmup:
        return training.lr * progress / training.warmup
    after = (progress - training.warmup) / (1.0 - training.warmup)
    if training.schedule == "cosine":
        return training.lr * 0.5 * (1.0 + math.cos(math.pi * min(after, 1.0)))
    if training.schedule == "poly":
        return float(training.lr * (1.0 - min(after, 1.0)) ** 0.9)
    return training.lr


def rates(training: TrainingSection, stretch: Stretch) -> list[float]:
    """The rate of each step: taken in the middle of the step, so that none is zero."""
    span = (stretch.end - stretch.begin) / stretch.steps
    return [
        learning_rate(training, stretch.begin + (step + 0.5) * span)
        for step in range(stretch.steps)
    ]
