"""summary.json of a simulation: what the federation came to, and what only a simulation knows."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.training.device import choose_device
from fedvox.common.study import Study, without_paths
from fedvox.server.conduct import Conducted
from fedvox.server.record import RoundLog
from fedvox.server.summary import federation_summary
from fedvox.simulations.baselines import POOLED, Baseline
from fedvox.simulations.consortium import Consortium
from fedvox.simulations.partition import table
from fedvox.simulations.patients import SPLITS

_STAGES = ("prepare", "train", "baselines")
_DOUBT = "the noise of a simulation follows from its seed: whoever knows it can take it away again"


@dataclass
class Clock:
    """Wall time of the run and of its stages, over all sittings that came to their end."""

    begun: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)
    earlier_s: float = 0.0

    @classmethod
    def of(cls, folder: Path) -> Clock:
        """The clock of the run in `folder`, where an earlier sitting left it."""
        try:
            before = json.loads((folder / "summary.json").read_text())
            stages = {stage: float(before[f"{stage}_s"]) for stage in _STAGES}
            return cls(stages=stages, earlier_s=float(before["wall_s"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time of the block to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begun
            self.stages[stage] = round(self.stages.get(stage, 0.0) + spent, 3)

    @property
    def wall_s(self) -> float:
        """Seconds the run has taken."""
        return round(self.earlier_s + time.perf_counter() - self.begun, 3)


def summarise(
    study: Study,
    status: str,
    folder: Path,
    clock: Clock,
    notes: list[str],
    consortium: Consortium | None,
    conducted: Conducted | None,
    baselines: Mapping[str, Baseline] | None,
) -> dict[str, Any]:
    """The summary of a run, with nulls for what it did not come to."""
    lines = RoundLog(folder / "rounds.jsonl").read()
    shown = without_paths(study)
    held = holdings(consortium) if consortium else []
    sites = [
        {
            "name": site["name"],
            **{f"patients_{split}": site[split] for split in SPLITS},
            "strata": site["strata"],
        }
        for site in held
    ]
    return {
        **federation_summary(study, status, lines, conducted, sites, notes, _DOUBT),
        "engine": study.simulation.engine,
        "wall_s": clock.wall_s,
        **{f"{stage}_s": clock.stages.get(stage, 0.0) for stage in _STAGES},
        "data": {"source": shown.data.source, "partition": shown.data.partition},
        "baselines": _baselines(baselines) if baselines is not None else None,
        "aside": _counts(consortium),
        "aside_cases": [vars(case) for case in consortium.aside] if consortium else [],
        "machine": _machine(study),
    }


def holdings(consortium: Consortium) -> list[dict[str, Any]]:
    """Who holds what: patients of each site by split and by stratum."""
    classifying = consortium.study.task.kind == "classification"
    named = consortium.study.task.classes if classifying else ("small", "medium", "large")
    *sites, _ = table(consortium.rows, consortium.strata)
    return [
        {
            "name": site.site,
            "train": site.train,
            "validation": site.validation,
            "test": site.test,
            "strata": {name: n for name, n in zip(named, site.by_stratum, strict=False) if n},
        }
        for site in sites
    ]


def _baselines(baselines: Mapping[str, Baseline]) -> dict[str, Any]:
    alone = {name: b.as_record() for name, b in baselines.items() if name != POOLED}
    return {"pooled": baselines[POOLED].as_record(), "local": alone}


def _counts(consortium: Consortium | None) -> dict[str, int]:
    return dict(Counter(case.reason for case in consortium.aside)) if consortium else {}


def _machine(study: Study) -> dict[str, Any]:
    device = choose_device(study)
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "device": device.torch_device.type,
        "precision": "bf16" if device.autocast else "fp32",
    }
