"""Reading policy.toml, with errors that name line, key and remedy; and writing a first one."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from fedvox.client.policy.rules import Policy
from fedvox.common.errors import InputError, nearest
from fedvox.common.study.load import apply_setting, toml_value


class PolicyError(InputError):
    """A site's policy, or its signature, is not one that anything may run under."""


def parse_policy(text: str, where: str = "policy.toml") -> Policy:
    """The policy written in `text`; PolicyError names every key that is wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not valid TOML: {error}") from None
    return _policy(tables, text, where)


def _policy(tables: dict[str, Any], text: str, where: str) -> Policy:
    try:
        return Policy.model_validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        lines = [_explain(dict(item), text, where) for item in error.errors()]
        raise PolicyError("\n".join(lines)) from None


def template(settings: Sequence[str] = ()) -> str:
    """A policy file with every key and what it means; values are defaults, but for `settings`."""
    tables: dict[str, Any] = {}
    for setting in settings:
        apply_setting(tables, setting)
    policy = _policy(tables, "", "--set")
    lines = [
        "# What this site allows. Every study is checked against all of it before an image is",
        "# opened, whoever approved it. After a change: fedvox site policy sign",
    ]
    for name in Policy.model_fields:
        table = getattr(policy, name)
        lines += ["", f"[{name}]"]
        for key, field in type(table).model_fields.items():
            lines += [f"# {line.strip()}" for line in (field.description or "").splitlines()]
            lines.append(f"{key} = {toml_value(getattr(table, key))}")
    return "\n".join(lines) + "\n"


def _explain(item: dict[str, Any], text: str, where: str) -> str:
    path = [str(part) for part in item["loc"]][:2]  # tables hold no tables
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error" and (named := re.match(r"([a-z_]+): ", message)):
        path.append(named.group(1))
        message = message[named.end() :]
    if item["type"] == "extra_forbidden":
        message = f"unknown {'table' if len(path) == 1 else 'key'}; {_nearest(path)}"
    elif item["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, not {toml_value(item['input'])}"
    line = _line_of(text, path)
    return f"{where}{f', line {line}' if line else ''}: {'.'.join(path) or 'policy'}: {message}"


def _nearest(path: list[str]) -> str:
    model: type[BaseModel] = Policy
    if len(path) > 1:
        model = type(getattr(Policy(), path[0]))
    return nearest(path[-1], model.model_fields)


def _line_of(text: str, path: list[str]) -> int | None:
    """The line on which a key, or failing that its table, stands."""
    table, best = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([a-z_]+)\s*\]", line):
            table = header.group(1)
            best = number if [table] == path[:1] else best
        elif path[:-1] == [table] and re.match(rf"\s*{re.escape(path[-1])}\s*=", line):
            return number
    return best
