"""Where a frontier begins, or goes on: everything that can be refused is refused here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.common.errors import InputError
from fedvox.common.study import Study, study_hash
from fedvox.server.strategies.registry import strategy_for
from fedvox.simulations.directory import new_folder, require_same, study_of
from fedvox.simulations.engines import workers_for
from fedvox.simulations.frontier.cli import EPSILONS, SEEDS
from fedvox.simulations.frontier.points import Grid, study_at
from fedvox.simulations.memory import require_memory
from fedvox.simulations.resolve import resolve_study
from fedvox.simulations.sources import Source

RESULT = "frontier.json"


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    study: Path | None
    settings: Sequence[str]
    out: Path | None
    resume: Path | None
    epsilons: tuple[float, ...] | None
    seeds: int | None


@dataclass(frozen=True)
class Begun:
    """A frontier that can be trained."""

    study: Study
    source: Source
    folder: Path
    grid: Grid


def begin(wish: Wish) -> Begun:
    """The frontier that is wished for, in a directory of its own or where it was left."""
    folder = wish.resume
    if folder is None and wish.study is None:
        raise InputError("give a study file, or a frontier to go on with by --resume DIR")
    if folder is not None and wish.out is not None:
        raise InputError("--resume goes on where a frontier lies: give no --out")
    path = wish.study or study_of(folder or Path())
    study, source = resolve_study(path, wish.settings)
    if folder is not None:
        require_same(study, folder)
    if study.simulation.folds and study.simulation.fold < 0:
        raise InputError(
            "simulation.folds: a frontier trains one split; set simulation.folds=0, or "
            "simulation.fold to one of them"
        )
    grid = _grid(study, wish)
    for point in grid:
        strategy_for(study_at(study, point))
    require_memory(study, workers_for(study))
    folder = folder or _new(wish.out, study)
    _require_own(folder, study, grid)
    return Begun(study, source, folder, grid)


def _new(out: Path | None, study: Study) -> Path:
    if out is not None and (out / RESULT).exists():
        raise InputError(
            f"{out}: holds a frontier already; go on with it by --resume {out}, or choose another "
            "--out"
        )
    return new_folder(out, f"{study.study.name}-frontier")


def _grid(study: Study, wish: Wish) -> Grid:
    """What is asked for, and what a frontier that is gone on with has already."""
    before = _grid_in(wish.resume) if wish.resume is not None else None
    if before is None:
        return Grid(wish.epsilons or EPSILONS, _seeds(study, wish.seeds or SEEDS))
    epsilons = tuple(sorted({*before.epsilons, *(wish.epsilons or ())}))
    return Grid(epsilons, _seeds(study, max(len(before.seeds), wish.seeds or 1)))


def _seeds(study: Study, count: int) -> tuple[int, ...]:
    return tuple(study.study.seed + number for number in range(count))


def _grid_in(folder: Path) -> Grid | None:
    """The grid of the frontier in `folder`; None where it did not come to writing it."""
    path = folder / RESULT
    if not path.exists():
        if (folder / "rounds.jsonl").exists():
            raise InputError(f"{folder}: is a run, not a frontier; fedvox simulate goes on with it")
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Grid(tuple(map(float, known["epsilons"])), tuple(map(int, known["seeds"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read: {error}; delete it and give --epsilons and --seeds again: "
            "finished runs are kept"
        ) from None


def _require_own(folder: Path, study: Study, grid: Grid) -> None:
    """InputError where a run in the frontier's directory was made from another study."""
    for point in grid:
        run, own = folder / point.folder, study_at(study, point)
        if (run / "study.toml").exists():
            require_same(own, run)
        made_from = _summary(run).get("study_sha256")
        if made_from is not None and made_from != study_hash(own):
            raise InputError(
                f"{run}: was made from another study, or by another version of fedvox; begin a "
                "frontier of its own with another --out"
            )


def is_finished(run: Path, study: Study) -> bool:
    """Whether the run of exactly this study is done."""
    summary = _summary(run)
    return summary.get("status") == "done" and summary.get("study_sha256") == study_hash(study)


def _summary(run: Path) -> dict[str, Any]:
    try:
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}
