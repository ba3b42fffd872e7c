"""Where decisions and answers are written down, besides the files that they change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fedvox.common.messages import Scalar

log = logging.getLogger(__name__)

Recorder = Callable[[str, Mapping[str, Scalar]], None]
"""(what happened, its fields): appended to the site's audit log before anything follows from it."""


def site_recorder(home: Path) -> Recorder:
    """The recorder of the site whose home this is."""

    def record(kind: str, fields: Mapping[str, Scalar]) -> None:
        said = " ".join(f"{name}={value}" for name, value in fields.items())
        log.info("%s: %s", kind, said)

    return record
