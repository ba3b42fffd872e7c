"""Unix sockets in folders with long names: the system takes 107 bytes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_BYTES = 107


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of the socket that the system takes, for this process and while the block lasts.

    The socket's own folder may be made, or made again, only later.
    """
    if len(os.fsencode(path)) <= _MOST_BYTES:
        yield str(path)
        return
    above = path.parent
    if not above.is_dir():
        above = above.parent
    folder = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.relative_to(above)}"
    finally:
        os.close(folder)
