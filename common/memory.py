"""Keeps a long-lived process small that moves models through its memory."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt."""
_LARGE_BYTES = 8 << 20
_KEPT_BYTES = 64 << 20
"""What is kept of smaller blocks: to get and return pages for each chunk would take longer than to
fill it."""


def give_large_blocks_back() -> None:
    """Has freed blocks of eight megabytes and more go back to the system at once.

    glibc would learn from the first of them to keep such blocks, in pieces that fit nothing later.
    Another C library does not know how, and is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 2)


def give_freed_memory_back() -> None:
    """Hands what was freed in small pieces to the system, after a model has passed through."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
