"""What a process does that a supervisor started: it ends with it, and says when it is ready.

Both do nothing in a process that was started in another way.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress

PARENT, READY = "FEDVOX_PARENT", "FEDVOX_READY_FD"
"""Environment of a supervised process: who its parent is, and where it says that it is ready."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Has the system kill this process when its supervisor ends, however that ends."""
    parent = os.environ.pop(PARENT, "")  # it is not that of processes that this one starts
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it was gone before the system knew
        os._exit(1)


def say_ready() -> None:
    """Tells the supervisor that this process does what it is for."""
    pipe = os.environ.pop(READY, "")
    if pipe:
        with suppress(OSError):  # whoever waited is gone
            os.write(int(pipe), b"ready\n")
        os.close(int(pipe))
