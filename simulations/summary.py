"""summary.json: what a run came to, for scripts and for the report."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedvox.client.training.device import choose_device
from fedvox.common import __version__
from fedvox.common.study import Study, contract_hash, study_hash, without_paths
from fedvox.common.tasks.task import task_for
from fedvox.server.conduct import Conducted
from fedvox.server.record import RoundLog
from fedvox.simulations.baselines import POOLED, Baseline
from fedvox.simulations.consortium import Consortium
from fedvox.simulations.partition import table
from fedvox.simulations.patients import SPLITS
from fedvox.simulations.spending import privacy_of, spent_by_site

_STAGES = ("prepare", "train", "baselines")


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
    task, shown = task_for(study), without_paths(study)
    test = conducted.test if conducted else None
    by_site = dict(test.sites) if test else {}
    steps = sum(len(line["answered"]) for line in lines) * study.training.local_steps
    return {
        "study": study.study.name,
        "status": status,
        "task": study.task.kind,
        "classes": list(study.task.classes),
        "strategy": study.strategy.name,
        "engine": study.simulation.engine,
        "seed": study.study.seed,
        "rounds": study.training.rounds,
        "rounds_completed": len(lines),
        "wall_s": clock.wall_s,
        **{f"{stage}_s": clock.stages.get(stage, 0.0) for stage in _STAGES},
        "bytes_up": sum(line["bytes_up"] for line in lines),
        "bytes_down": sum(line["bytes_down"] for line in lines),
        "parameters": _parameters(conducted),
        "model_sha256": conducted.model_sha256 if conducted else None,
        "study_sha256": study_hash(study),
        "contract_sha256": contract_hash(study),
        "data": {"source": shown.data.source, "partition": shown.data.partition},
        "headline": task.headline,
        "metrics": mean_over(by_site),
        "union": dict(test.union) if test else {},
        "sites": _sites(consortium, conducted, by_site, lines) if consortium else [],
        "privacy": privacy_of(study, lines),
        "steps": {"federated": steps, "samples": steps * study.training.batch_size},
        "baselines": _baselines(baselines) if baselines is not None else None,
        "aside": _counts(consortium),
        "aside_cases": [vars(case) for case in consortium.aside] if consortium else [],
        "versions": versions(),
        "machine": _machine(study),
        "notes": notes,
    }


def mean_over(sites: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the sites that have it."""
    names = dict.fromkeys(name for metrics in sites.values() for name in metrics)
    found = {name: [m[name] for m in sites.values() if name in m] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def versions() -> dict[str, str]:
    """Of fedvox and of what its numbers come from."""
    packages = ("torch", "monai", "flwr", "numpy")
    found = {package: version(package) for package in packages}
    return {"fedvox": __version__, "python": platform.python_version(), **found}


def _parameters(conducted: Conducted | None) -> int:
    return sum(w.size for w in conducted.state.weights.values()) if conducted else 0


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


def _sites(
    consortium: Consortium,
    conducted: Conducted | None,
    metrics: Mapping[str, Mapping[str, float]],
    lines: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    refused = Counter(site for line in lines for site in line["refused"])
    absent = conducted.absent if conducted else {}
    spent = spent_by_site(lines)
    return [
        {
            "name": held["name"],
            **{f"patients_{split}": held[split] for split in SPLITS},
            "strata": held["strata"],
            "metrics": dict(metrics.get(held["name"], {})),
            "rounds_refused": refused[held["name"]],
            "absent": absent.get(held["name"]),
            **spent.get(held["name"], {}),
        }
        for held in holdings(consortium)
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
