"""Where decisions are written down, besides the files that they change."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fedvox.common.messages import Scalar

log = logging.getLogger(__name__)

Recorder = Callable[[str, Mapping[str, Scalar]], None]
"""(what happened, its fields): in the site's audit log before anything follows from it."""


def site_recorder(home: Path) -> Recorder:
    """The recorder of the site whose home this is.

    Without a key that may be read here there is no audit log: a site that has not joined yet, or a
    trainer under a user of its own. Then the link's log says what the site was asked and told.
    """

    def record(kind: str, fields: Mapping[str, Scalar]) -> None:
        from fedvox.common.audit.trail import IDENTITY, trail
        from fedvox.common.identity.credentials import KEY_FILE

        log.info("%s: %s", kind, " ".join(f"{name}={value}" for name, value in fields.items()))
        if os.access(home / IDENTITY / KEY_FILE, os.R_OK):
            trail(home).append(kind, **fields)

    return record
