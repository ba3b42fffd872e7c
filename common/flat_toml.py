"""Small flat TOML files that people and programs both edit: kits and settings.

Such a file has one level, texts, whole numbers and lists of texts, and nothing that is not known.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from fedvox.common.errors import InputError, nearest

Value = str | int | tuple[str, ...]

MOST_BYTES = 65536
"""A file of settings that is larger is none."""


def read_flat(path: Path, shape: Mapping[str, Value], what: str) -> dict[str, Value]:
    """The settings in a file; where one is left out, the value it has in `shape`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise InputError(f"{path}: too large to be {what}")
        return parse_flat(raw.decode(), shape, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; it should be {what}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {what} cannot be read: {error}") from None


def parse_flat(text: str, shape: Mapping[str, Value], where: str) -> dict[str, Value]:
    """The settings in `text`; InputError names the first that is unknown or of another kind."""
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from None
    found = dict(shape)
    for key, value in written.items():
        if key not in shape:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, shape)}")
        found[key] = _checked(key, value, shape[key], where)
    return found


def _checked(key: str, value: object, like: Value, where: str) -> Value:
    if isinstance(like, tuple):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is type(like):
        return value
    kind = {str: "a text in quotes", int: "a whole number", tuple: "a list of texts"}[type(like)]
    raise InputError(f"{where}: {key} must be {kind}")


def flat_text(values: Mapping[str, Value], heading: str = "") -> str:
    """The TOML that `parse_flat` reads back, under a heading of comments."""
    lines = [f"# {line}" for line in heading.splitlines()]
    return "\n".join([*lines, *(f"{key} = {_written(value)}" for key, value in values.items()), ""])


def _written(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, int):
        return str(value)
    # A JSON string is a TOML string, but for this one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
