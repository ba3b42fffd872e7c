"""Training the points of a frontier, one run after the other; what is finished is not run again."""

from __future__ import annotations

from fedvox.common.errors import FedvoxError, NotFiniteError, QuorumError
from fedvox.common.files import RunLock, write_json_atomic, write_text_atomic
from fedvox.common.study import dump_study
from fedvox.simulations.frontier.begin import RESULT, Begun, is_finished
from fedvox.simulations.frontier.console import Console
from fedvox.simulations.frontier.figures import Frontier, as_plain, outcome_of
from fedvox.simulations.frontier.page import write_pages
from fedvox.simulations.frontier.points import Point, study_at
from fedvox.simulations.simulate import run_study


def conduct(begun: Begun, console: Console) -> Frontier:
    """Trains what is missing; the frontier, which is also written to its directory."""
    points = list(begun.grid)
    with RunLock(begun.folder, "--out"):
        write_text_atomic(begun.folder / "study.toml", dump_study(begun.study))
        try:
            for place, point in enumerate(points, start=1):
                _write(begun, "running")
                console.begins(point, place, len(points))
                known = _train(begun, point, console)
                console.ends(outcome_of(begun.folder, point), known)
        except KeyboardInterrupt:
            _leave(begun, "interrupted")
            raise
        except FedvoxError:
            _leave(begun, "failed")
            raise
        return _leave(begun)


def _train(begun: Begun, point: Point, console: Console) -> bool:
    """Whether the run was finished before."""
    run, study = begun.folder / point.folder, study_at(begun.study, point)
    if is_finished(run, study):
        return True
    try:
        run_study(study, begun.source, run, console.watch)
    except (QuorumError, NotFiniteError):
        # A model that so much noise has broken is a result, not the end of the others; the run's
        # own summary says what happened.
        return False
    return False


def _write(begun: Begun, status: str) -> Frontier:
    outcomes = tuple(outcome_of(begun.folder, point) for point in begun.grid)
    frontier = Frontier(begun.study, status, begun.grid, outcomes)
    write_json_atomic(begun.folder / RESULT, as_plain(frontier))
    return frontier


def _leave(begun: Begun, status: str = "") -> Frontier:
    outcomes = (outcome_of(begun.folder, point) for point in begun.grid)
    whole = all(outcome.status == "done" for outcome in outcomes)
    frontier = _write(begun, status or ("done" if whole else "failed"))
    write_pages(begun.folder, frontier)
    return frontier
