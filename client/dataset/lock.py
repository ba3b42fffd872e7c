"""Who may work in a dataset's folder: imports together, what removes files alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fedvox.client.dataset.places import Place
from fedvox.common.files import writing


@contextmanager
def together(place: Place) -> Iterator[None]:
    """Others may do the same meanwhile, but nobody removes files; waits for who does."""
    with _held(place, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Nobody else is in the dataset meanwhile; waits for imports to end."""
    with _held(place, fcntl.LOCK_EX):
        yield


@contextmanager
def alone_if_free(place: Place) -> Iterator[bool]:
    """As `alone`, but says no where somebody else is there."""
    try:
        with _held(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield True
    except BlockingIOError:
        yield False


@contextmanager
def _held(place: Place, how: int) -> Iterator[None]:
    path = place.folder / ".lock"
    with writing(path):
        make_folder(place)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def make_folder(place: Place) -> None:
    """Makes the dataset's folder, for the site's own account only."""
    place.home.mkdir(parents=True, exist_ok=True)
    for folder in (place.folder.parent, place.folder, place.cases):
        folder.mkdir(exist_ok=True, mode=0o700)
