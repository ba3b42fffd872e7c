"""Keeps the DICOM libraries silent: what they log and warn of quotes what patients are called."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pynetdicom", "pydicom", "httpx", "httpcore")


@contextmanager
def silence() -> Iterator[None]:
    """Their logs and warnings go nowhere; a thread of theirs that fails says only with what."""
    from pynetdicom import _config

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    settings = {name: getattr(_config, name) for name in _QUIET}
    hook = threading.excepthook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        for name, value in _QUIET.items():
            setattr(_config, name, value)
        threading.excepthook = _short
        try:
            yield
        finally:
            threading.excepthook = hook
            for name, value in settings.items():
                setattr(_config, name, value)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


_QUIET = {
    "LOG_HANDLER_LEVEL": "none",
    "LOG_REQUEST_IDENTIFIERS": False,
    "LOG_RESPONSE_IDENTIFIERS": False,
}


def _short(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        print(f"pacs: a connection's thread ended with {args.exc_type.__name__}", file=sys.stderr)
