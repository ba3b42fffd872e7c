"""Reading a run folder; a run that was cut short is read as far as it got."""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.common.errors import InputError
from fedvox.common.study import Study, dump_study, load_study, without_paths
from fedvox.server.report.parse import (
    figures,
    mapping,
    read_alone,
    read_aside,
    read_pooled,
    read_round,
    read_site,
    read_tally,
    words,
)
from fedvox.server.report.records import SPLITS, Baseline, Round, Run, Sample, Site, Tally


def load_run(folder: Path) -> Run:
    """The run in `folder`; raises InputError where that is not a run folder."""
    study_path = folder / "study.toml"
    if not study_path.is_file():
        raise InputError(
            f"{folder}: not a run folder: it has no study.toml; "
            "give a folder that `fedvox simulate` or `fedvox study result` wrote, such as runs/NAME"
        )
    study = without_paths(load_study(study_path))  # a report is sent to others
    summary = _json(folder / "summary.json") or {}
    rounds = _rounds(folder / "rounds.jsonl")
    evaluation = _json(folder / "evaluation.json") or {}
    baselines = mapping(summary.get("baselines"))
    sites = _sites(summary, folder / "partition.csv", rounds)
    pooled, alone = read_pooled(baselines), read_alone(baselines)
    tally = _tally(evaluation)
    samples = _samples(folder / "samples.npz")
    aside, aside_cases = read_aside(summary)
    return Run(
        folder=folder,
        study=study,
        study_text=dump_study(study),
        summary=summary,
        status=str(summary.get("status") or "interrupted"),
        classes=words(summary.get("classes")) or study.task.classes,
        headline=str(summary.get("headline") or _default_headline(study)),
        metrics=figures(summary.get("metrics")),
        union=figures(summary.get("union")),
        sites=sites,
        rounds=rounds,
        pooled=pooled,
        alone=alone,
        tally=tally,
        samples=samples,
        aside=aside,
        aside_cases=aside_cases,
        missing=tuple(_missing(study, summary, rounds, pooled, alone, tally, samples)),
    )


def _missing(
    study: Study,
    summary: Mapping[str, Any],
    rounds: tuple[Round, ...],
    pooled: Baseline | None,
    alone: tuple[Baseline, ...],
    tally: Tally,
    samples: tuple[Sample, ...],
) -> list[str]:
    status = summary.get("status")
    absent = []
    if not summary:
        absent.append("The run wrote no summary: it was cut short, or is still going on.")
    elif status != "done":
        absent.append(f"The run did not finish (status: {status or 'unknown'}).")
    if not rounds:
        absent.append("No round was closed.")
    elif len(rounds) < study.training.rounds:
        absent.append(f"{len(rounds)} of {study.training.rounds} rounds were closed.")
    if pooled is None and not alone:
        absent.append("No baselines were trained, so there is nothing to compare the model with.")
    elif pooled is None or not alone:
        absent.append("Only some of the baselines were trained.")
    if not samples and summary.get("engine") == "consortium":
        absent.append("Slices stay at the sites, as all images do.")
    elif not samples:
        absent.append("No slices were kept.")
    if study.task.kind == "classification" and not tally.confusion:
        absent.append("No confusion matrix was kept.")
    return absent


def _default_headline(study: Study) -> str:
    return "dice" if study.task.kind == "segmentation" else "balanced_accuracy"


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read: {error}; delete it to report on the rest of the run"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; delete it to report on the rest")
    return value


def _rounds(path: Path) -> tuple[Round, ...]:
    """The closed rounds; of a round that was written twice (after a resume) the last counts."""
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found: dict[int, Round] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = read_round(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):  # a power loss tears the last line, and only that
                break
            raise InputError(f"{path}, line {number}: not the record of a round: {error}") from None
        found[record.number] = record
    return tuple(found[key] for key in sorted(found))


def _sites(
    summary: Mapping[str, Any], partition: Path, rounds: tuple[Round, ...]
) -> tuple[Site, ...]:
    listed = summary.get("sites")
    if isinstance(listed, list) and listed:
        return tuple(read_site(item) for item in listed if isinstance(item, dict))
    held = _held(partition)
    names = list(held) or sorted({name for record in rounds for name in record.asked})
    refused = Counter(name for record in rounds for name in record.refused)
    return tuple(
        Site(name=name, patients=held.get(name, {}), rounds_refused=refused[name]) for name in names
    )


def _held(partition: Path) -> dict[str, dict[str, int]]:
    """Patients by site and split, as the partition says."""
    if not partition.is_file():
        return {}
    patients: dict[str, dict[str, set[str]]] = {}
    with partition.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            site, split = row.get("site") or "", row.get("split") or ""
            by_split = patients.setdefault(site, {name: set() for name in SPLITS})
            by_split.setdefault(split, set()).add(row.get("patient") or row.get("case") or "")
    return {
        site: {split: len(found) for split, found in by_split.items()}
        for site, by_split in patients.items()
    }


def _tally(evaluation: Mapping[str, Any]) -> Tally:
    federated = mapping(mapping(evaluation.get("test")).get("federated"))
    return read_tally(mapping(federated.get("union")))


def _samples(path: Path) -> tuple[Sample, ...]:
    if not path.is_file():
        return ()
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _slices(stored.files, stored.__getitem__)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read: {error}; delete it to report without slices"
        ) from None


def _slices(keys: list[str], array: Callable[[str], Any]) -> tuple[Sample, ...]:
    names = [str(name) for name in array("names")] if "names" in keys else []
    indices = sorted(int(key[6:]) for key in keys if key.startswith("image_") and key[6:].isdigit())
    return tuple(
        Sample(
            name=names[position] if position < len(names) else "",
            image=array(f"image_{index}"),
            truth=array(f"truth_{index}") if f"truth_{index}" in keys else None,
            prediction=array(f"prediction_{index}") if f"prediction_{index}" in keys else None,
        )
        for position, index in enumerate(indices)
    )
