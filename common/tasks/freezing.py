"""Parameters that training leaves as they are."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from fedvox.common.errors import StudyError
from fedvox.common.study.schema import Study


def freeze(network: nn.Module, study: Study) -> None:
    """Freezes what the patterns of `model.freeze` name; StudyError where one names nothing."""
    parameters = dict(network.named_parameters())
    for pattern in study.model.freeze:
        named = [name for name in parameters if fnmatchcase(name, pattern)]
        if not named:
            raise StudyError(
                f"model.freeze: no parameter is named like {pattern!r}; names are like "
                f"{next(iter(parameters))!r} and {list(parameters)[-1]!r}"
            )
        for name in named:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise StudyError("model.freeze: freezes every parameter; leave something to train")
