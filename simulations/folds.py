"""Cross-validation: one run for each fold, so that every patient is tested exactly once."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from fedvox.common.files import RunLock, write_json_atomic, write_text_atomic
from fedvox.common.study import Study, dump_study, study_hash
from fedvox.server.events import Event, Watch
from fedvox.simulations.simulate import run_study
from fedvox.simulations.sources import Source


def run_folds(study: Study, source: Source, folder: Path, watch: Watch) -> dict[str, Any]:
    """All folds under `folder`/fold-N, and their mean and deviation in folder/summary.json."""
    summaries = []
    with RunLock(folder, "--out"):
        write_text_atomic(folder / "study.toml", dump_study(study))
        for fold in range(study.simulation.folds):
            watch(Event("note", detail={"text": f"fold {fold + 1} of {study.simulation.folds}"}))
            simulation = study.simulation.model_copy(update={"fold": fold})
            own = study.model_copy(update={"simulation": simulation})
            summaries.append(run_study(own, source, folder / f"fold-{fold}", watch))
        whole = {"study_sha256": study_hash(study), "folds": len(summaries)}
        summary = {**summaries[0], **whole, **_over_folds(summaries)}
        write_json_atomic(folder / "summary.json", summary)
    watch(Event("finished", detail=summary))
    return summary


def _over_folds(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    names = summaries[0]["metrics"]
    values = {n: [s["metrics"][n] for s in summaries if n in s["metrics"]] for n in names}
    return {
        "metrics": {name: statistics.fmean(v) for name, v in values.items()},
        "metrics_deviation": {
            name: statistics.stdev(v) if len(v) > 1 else 0.0 for name, v in values.items()
        },
        "wall_s": sum(summary["wall_s"] for summary in summaries),
        "model_sha256": None,
        "fold_runs": [f"fold-{number}" for number in range(len(summaries))],
    }
