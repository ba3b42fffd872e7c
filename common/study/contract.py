"""What the data must look like before a model may see it, and its hash.

The contract travels with every checkpoint: a model trained on volumes of one spacing, window or
label map is never fed volumes prepared under another.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fedvox.common.study.schema import Study
from fedvox.common.study.sections import SimulationSection

_OUTSIDE = frozenset({"source", "partition", "test", "validation"})
"""Keys of [data] that say whose images are used, not what they look like."""


_SCHEDULE = ("engine", "workers", "baselines")
"""Keys of [simulation] that do not touch the model."""


def contract(study: Study) -> dict[str, Any]:
    """The data contract of a study as plain values."""
    data = study.data.model_dump(mode="json", exclude=set(_OUTSIDE))
    return {"kind": study.task.kind, "classes": list(study.task.classes), **data}


def contract_hash(study: Study) -> str:
    """sha256 of the data contract."""
    return _sha256(contract(study))


def study_hash(study: Study) -> str:
    """sha256 of everything that decides the model; how a simulation is scheduled is left out."""
    plain = study.model_dump(mode="json")
    for key in _SCHEDULE:
        plain["simulation"].pop(key)
    return _sha256(plain)


def without_paths(study: Study) -> Study:
    """The study as it may be shown to others: of a folder on this machine only the name stays."""
    data = study.data
    kind, colon, place = data.partition.partition(":")
    shown = {
        "source": Path(data.source).name or data.source,
        "partition": f"{kind}:{Path(place).name}" if colon and kind == "file" else data.partition,
    }
    model = study.model.model_copy(update={"start": Path(study.model.start).name})
    return study.model_copy(update={"data": data.model_copy(update=shown), "model": model})


def without_schedule(study: Study) -> Study:
    """The study without how a simulation of it happened to be scheduled."""
    plain = {key: SimulationSection.model_fields[key].default for key in _SCHEDULE}
    simulation = study.simulation.model_copy(update=plain)
    return study.model_copy(update={"simulation": simulation})


def _sha256(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
