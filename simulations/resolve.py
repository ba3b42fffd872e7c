"""The study of a simulation: what file and command line say, over what the source suggests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fedvox.common.study import Study, load_study
from fedvox.simulations.sources import Source, open_source

_NAMED = ("msd:", "medmnist:")


def resolve_study(path: Path | None, settings: Sequence[str]) -> tuple[Study, Source]:
    """The complete study and the opened source it names."""
    first = load_study(path, settings)
    settings = [*settings, *_located(first, path, settings)]
    first = load_study(path, settings)
    source = open_source(first.data.source, first)
    study = load_study(path, settings, source.suggests())
    return study, open_source(study.data.source, study)


def study_of_run(path: Path | None, sites: int) -> Study:
    """The study of a run that `flwr run` started with so many nodes."""
    return resolve_study(path, [f"simulation.sites={sites}"])[0]


def completed(path: Path | None, settings: Sequence[str]) -> Study:
    """The complete study, as a consortium is asked for it."""
    return resolve_study(path, settings)[0]


def _located(study: Study, path: Path | None, settings: Sequence[str]) -> list[str]:
    """Settings that make paths absolute: those of a study file are meant from where it lies."""
    given = {setting.partition("=")[0].strip() for setting in settings}

    def absolute(key: str, place: str) -> str:
        base = path.parent if path and key not in given else Path()
        return str((base / Path(place).expanduser()).resolve())

    located = {}
    if study.data.source.startswith("store:"):
        located["data.source"] = f"store:{absolute('data.source', study.data.source[6:])}"
    elif not study.data.source.startswith(_NAMED) and study.data.source != "phantom":
        place = absolute("data.source", study.data.source)
        if Path(place).exists():  # else the error shows what was written
            located["data.source"] = place
    rule, _, place = study.data.partition.partition(":")
    if rule == "file":
        located["data.partition"] = f"file:{absolute('data.partition', place)}"
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in located.items()]
