"""The ServerApp: the same rounds on a laptop, on Ray and at a coordinator."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedvox.common.errors import InputError
from fedvox.common.files import RunLock, write_text_atomic
from fedvox.common.study import Study, dump_study, load_study, study_hash
from fedvox.server.conduct import Conducted, conduct
from fedvox.server.events import Event, Watch

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conducts the study that the run configuration names: what `flwr run` starts."""
    from fedvox.server.watch import watch_for

    study = _simulated(str(context.run_config.get("study", "")), len(list(grid.get_node_ids())))
    folder = _folder(str(context.run_config.get("out", "")), study)
    with RunLock(folder), watch_for("plain") as watch:
        _begin(folder, study)
        done = start(grid, study, folder, watch)
        text = f"{folder / 'model.safetensors'}: sha256 {done.model_sha256}"
        watch(Event("note", detail={"text": text}))


def start(grid: Grid, study: Study, folder: Path, watch: Watch) -> Conducted:
    """Conducts a study with the model that its seed gives."""
    from fedvox.common.tasks.task import initial_weights, task_for

    return conduct(
        grid, study, folder, lambda: initial_weights(study), task_for(study).metrics, watch
    )


def _simulated(path: str, sites: int) -> Study:
    """The study for so many simulated sites; the simulation is found by name, never imported."""
    (found,) = entry_points(group="fedvox.simulation", name="study")
    study: Study = found.load()(Path(path) if path else None, sites)
    return study


def _folder(out: str, study: Study) -> Path:
    """What the run configuration says, else a new one under the working directory."""
    name = f"{study.study.name}-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}"
    return Path(out).absolute() if out else Path.cwd() / "runs" / name


def _begin(folder: Path, study: Study) -> None:
    path = folder / "study.toml"
    if path.exists() and study_hash(load_study(path)) != study_hash(study):
        raise InputError(f"{folder}: holds a run with other settings; choose another out")
    write_text_atomic(path, dump_study(study))
