"""The ServerApp: the same rounds on a laptop, on Ray and at a coordinator."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedvox.common.files import RunLock, write_text_atomic
from fedvox.common.study import Study, dump_study, load_study
from fedvox.server.conduct import Conducted, conduct
from fedvox.server.events import Watch

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conducts the study that the run configuration names: what `flwr run` starts."""
    from fedvox.server.watch import watch_for

    path = str(context.run_config.get("study", ""))
    study = resolve(load_study(Path(path) if path else None))
    name = f"{study.study.name}-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}"
    folder = Path(str(context.run_config.get("out", "")) or Path.cwd() / "runs" / name)
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "study.toml", dump_study(study))
    with RunLock(folder), watch_for("plain") as watch:
        start(grid, study, folder, watch)


def start(grid: Grid, study: Study, folder: Path, watch: Watch) -> Conducted:
    """Conducts a study with the model that its seed gives."""
    from fedvox.common.tasks.task import initial_weights, task_for

    return conduct(
        grid, study, folder, lambda: initial_weights(study), task_for(study).metrics, watch
    )


def resolve(study: Study) -> Study:
    """The study with what its data source suggests filled in."""
    from importlib.metadata import entry_points

    (found,) = entry_points(group="fedvox.sources", name="resolve")
    resolved: Study = found.load()(study)
    return resolved
