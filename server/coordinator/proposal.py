"""A study as it is proposed: complete, and without anything that only a simulation needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from fedvox.common.errors import StudyError
from fedvox.common.study import Study, load_study

AT_SITES = "sites"
"""data.source of a study whose images only the sites know."""


def proposed(path: Path, settings: Sequence[str]) -> Study:
    """The study in a file; one on phantoms is completed as `fedvox simulate` completes it."""
    study = load_study(path, settings)
    if study.data.source == "phantom":
        (found,) = entry_points(group="fedvox.simulation", name="complete")
        completed: Study = found.load()(path, settings)
        return completed
    if study.data.source != AT_SITES:
        raise StudyError(
            f"{path}: data.source is {study.data.source!r}: images that lie here are for `fedvox "
            f"simulate`. Set data.source = '{AT_SITES}': each site trains on its own"
        )
    if not study.task.classes:
        raise StudyError(
            f"{path}: task.classes is empty: name the classes, since no site's data may decide them"
        )
    return study
