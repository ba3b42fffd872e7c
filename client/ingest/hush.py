"""Keeps libraries from saying what they read: they quote values, and those name patients."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("pydicom", "pynetdicom", "nibabel", "highdicom", "PIL", "py.warnings")


@contextmanager
def hushed() -> Iterator[None]:
    """Warnings and logs of libraries, and what their C code prints to stderr, go nowhere."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings(), _quiet_stderr():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Python's own stderr stays; only what bypasses it is lost."""
    own = sys.__stderr__
    if own is None or sys.stderr is not own:
        yield
        return
    own.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    ours = os.fdopen(os.dup(kept), "w", buffering=1)
    sys.stderr = ours
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        ours.flush()
        os.dup2(kept, 2)
        sys.stderr = own
        for descriptor in (kept, nowhere):
            os.close(descriptor)
        ours.close()
