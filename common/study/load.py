"""Reading a study file: defaults, --set, and errors that name file, line, key and remedy."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fedvox.common.errors import StudyError, nearest
from fedvox.common.study.presets import merge_tables, with_presets
from fedvox.common.study.schema import Study


def load_study(
    path: Path | None = None,
    settings: Sequence[str] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> Study:
    """The study in the file at `path` (all defaults without one), with `key=value` settings.

    `defaults` are what a data source or task suggests: they yield to the file and to the settings.
    """
    text = _read(path) if path else ""
    where = str(path) if path else "study"
    return parse_study(text, where, settings, defaults)


def parse_study(
    text: str,
    where: str = "study",
    settings: Sequence[str] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> Study:
    """The study written in `text`."""
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where}: not valid TOML: {error}") from None
    tables = merge_tables(deepcopy(dict(defaults or {})), written)
    for setting in settings:
        apply_setting(tables, setting)
    tables = with_presets(tables)
    try:
        return Study.model_validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        raise StudyError(_explain(error, text, where, settings)) from None


def dump_study(study: Study) -> str:
    """The study as TOML that `parse_study` reads back to an equal one."""
    lines: list[str] = []
    _dump_table(lines, "", study)
    return "\n".join(lines).strip() + "\n"


def toml_value(value: Any) -> str:
    """One value in TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(k))} = {toml_value(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _dump_table(lines: list[str], prefix: str, section: BaseModel) -> None:
    tables = []
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            tables.append((f"{prefix}{name}", value))
        else:
            lines.append(f"{name} = {toml_value(value)}")
    for name, table in tables:
        lines += ["", f"[{name}]"]
        _dump_table(lines, f"{name}.", table)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: no such study file; `fedvox study new > {path.name}` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from None


def apply_setting(tables: dict[str, Any], setting: str) -> None:
    """Puts SECTION.KEY=VALUE, as given with --set, into tables as TOML gives them."""
    key, equals, raw = setting.partition("=")
    path = key.strip().split(".")
    if not equals or len(path) < 2 or not all(path):
        raise StudyError(f"--set {setting}: write it as SECTION.KEY=VALUE, as in training.lr=1e-3")
    table = tables
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise StudyError(f"--set {setting}: {part} is not a table")
    table[path[-1]] = _value(raw.strip())


def _value(raw: str) -> Any:
    """A value from the command line: TOML where it is TOML, a number, else the bare text."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return float(raw)  # TOML has no .5
    except ValueError:
        return raw


def _explain(error: ValidationError, text: str, where: str, settings: Sequence[str]) -> str:
    return "\n".join(_explain_one(dict(item), text, where, settings) for item in error.errors())


def _explain_one(item: dict[str, Any], text: str, where: str, settings: Sequence[str]) -> str:
    path = [str(part) for part in item["loc"]]
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error" and (named := re.match(r"([a-z_.]+): ", message)):
        path += named.group(1).split(".")
        message = message[named.end() :]
    path = _known_part(path)
    if item["type"] == "extra_forbidden":
        message = f"unknown {'section' if len(path) == 1 else 'key'}; {_nearest_key(path)}"
    elif "input" in item and item["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, not {toml_value(_plain(item['input']))}"
    key = ".".join(path)
    if any(setting.partition("=")[0].strip() == key for setting in settings):
        return f"--set {key}: {message}"
    line = _line_of(text, path)
    return f"{where}{f', line {line}' if line else ''}: {key or 'study'}: {message}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def _known_part(path: list[str]) -> list[str]:
    """Drops what pydantic adds behind a key (list indices, names of union members)."""
    model: type[BaseModel] | None = Study
    kept = []
    for part in path:
        if model is None:
            break
        kept.append(part)
        model = _table_at(model, part)
    return kept


def _nearest_key(path: list[str]) -> str:
    model: type[BaseModel] = Study
    for part in path[:-1]:
        model = _table_at(model, part) or model
    return nearest(path[-1], model.model_fields)


def _table_at(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    if field is None:
        return None
    kinds = (field.annotation, *get_args(field.annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _line_of(text: str, path: list[str]) -> int | None:
    """The line of a study file on which a key (or, failing that, its table) stands."""
    table, best = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            table = header.group(1).replace(" ", "")
            if table == ".".join(path):
                return number
            if table == ".".join(path[:-1]):
                best = number
        elif table == ".".join(path[:-1]) and re.match(rf"\s*{re.escape(path[-1])}\s*=", line):
            return number
    return best
