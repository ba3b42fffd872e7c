"""The whole study file, and what may not contradict what in it."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from fedvox.common.study.privacy_rules import require_sound
from fedvox.common.study.privacy_section import PrivacySection
from fedvox.common.study.sections import (
    CLASSIFICATION_MODELS,
    SEGMENTATION_MODELS,
    DataSection,
    ModelSection,
    ParticipationSection,
    Section,
    SimulationSection,
    StrategySection,
    StudySection,
    TaskSection,
    TrainingSection,
)


class Study(Section):
    """A whole study file."""

    study: StudySection = StudySection()
    task: TaskSection = TaskSection()
    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    strategy: StrategySection = StrategySection()
    privacy: PrivacySection = PrivacySection()
    participation: ParticipationSection = ParticipationSection()
    simulation: SimulationSection = SimulationSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kind, name = self.task.kind, self.model.name
        models = SEGMENTATION_MODELS if kind == "segmentation" else CLASSIFICATION_MODELS
        if name not in models:
            raise ValueError(
                f"model.name: {name!r} cannot do {kind}; use one of {', '.join(models)}"
            )
        classes, weights = self.task.classes, self.training.class_weights
        if classes and len(classes) < 2:
            raise ValueError(
                "task.classes: needs at least two (for segmentation the background first)"
            )
        if len(set(classes)) != len(classes):
            raise ValueError("task.classes: a name stands twice")
        if classes and weights and len(weights) != len(classes):
            raise ValueError(
                f"training.class_weights: has {len(weights)} weights for {len(classes)} classes"
            )
        if classes and any(not 0 <= to < len(classes) for to in self.data.label_map.values()):
            raise ValueError(f"data.label_map: maps outside the {len(classes)} classes")
        if self.simulation.folds == 1 or (
            self.simulation.folds and self.simulation.fold >= self.simulation.folds
        ):
            raise ValueError("simulation.fold: must be below folds, and folds at least 2")
        if self.strategy.name == "scaffold" and self.training.optimizer != "sgd":
            raise ValueError(
                "training.optimizer: scaffold corrects the steps of plain gradient descent, which "
                f"{self.training.optimizer} would rescale; --set training.optimizer=sgd"
            )
        if kind == "segmentation" and self.training.balance:
            raise ValueError(
                "training.balance: balances classes of whole volumes; training.foreground says how "
                "often a patch shows a label"
            )
        if kind == "classification" and self.data.size and self.data.size != self.data.patch:
            raise ValueError("data.patch: a classifier sees whole volumes: patch must equal size")
        if kind == "classification" and not self.data.size:
            raise ValueError("data.size: a classifier sees whole volumes: set size and patch to it")
        require_sound(self.privacy, self.training, self.strategy, self.participation)
        return self
