"""Names of sites and classes: in what order they stand, and what may be in them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def natural(name: str) -> tuple[tuple[int | str, ...], str]:
    """A key that sorts site-2 before site-10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts)), name


def safe(name: str, empty: str) -> str:
    """The name with letters, digits, dot, dash and underscore only, at most 64 of them."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:64].strip("-._") or empty


def safe_names(values: Iterable[str]) -> dict[str, str]:
    """Names for files and tables; values that would become the same name are numbered."""
    names: dict[str, str] = {}
    for value in sorted(set(values), key=natural):
        name = taken = safe(value, "site")
        number = 2
        while taken in names.values():
            taken, number = f"{name}-{number}", number + 1
        names[value] = taken
    return names
