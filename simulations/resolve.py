"""The study of a simulation: what file and command line say, over what the source suggests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedvox.common.study import Study, load_study
from fedvox.simulations.sources import Source, open_source


def resolve_study(path: Path | None, settings: Sequence[str]) -> tuple[Study, Source]:
    """The complete study and the opened source it names."""
    # A path in a study file is meant from where the file lies.
    first = load_study(path, settings)
    source = open_source(first.data.source, first)
    study = load_study(path, settings, source.suggests())
    return study, open_source(study.data.source, study)
