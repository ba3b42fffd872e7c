"""Ending threads of this process that are deep in their work."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from threading import Thread


def interrupt(threads: Iterable[Thread]) -> None:
    """Raises KeyboardInterrupt in each thread at its next step of Python: within one operation."""
    for thread in threads:
        if thread.ident is not None and thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
