"""The weights that a study begins with: drawn from its seed, or taken over from another model."""

from __future__ import annotations

from pathlib import Path

from fedvox.common.arrays import Arrays, require_finite
from fedvox.common.codec import CodecError, decode
from fedvox.common.errors import NotFiniteError, StudyError
from fedvox.common.study.schema import Study

_MODEL = "model.safetensors"


def take_over(study: Study, drawn: Arrays) -> Arrays:
    """The drawn weights, replaced by those of `model.start` that have the same name and shape."""
    if not study.model.start:
        return drawn
    path = Path(study.model.start).expanduser()
    path = path / _MODEL if path.is_dir() else path
    try:
        found = decode(path.read_bytes())
        require_finite(found, "model.start")
    except (OSError, CodecError, NotFiniteError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(
            f"model.start: {path}: {reason}; give a run directory or a model.safetensors"
        ) from None
    fitting = {
        name: array
        for name, array in found.items()
        if name in drawn and (array.shape, array.dtype) == (drawn[name].shape, drawn[name].dtype)
    }
    if not fitting:
        raise StudyError(
            f"model.start: {path}: no tensor of it fits this study's network; train it with the "
            "same [model]"
        )
    return {**drawn, **fitting}
