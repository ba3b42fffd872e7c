"""A study file with a comment for every key."""

from __future__ import annotations

from collections.abc import Container
from textwrap import wrap

from pydantic import BaseModel

from fedvox.common.study.load import toml_value
from fedvox.common.study.schema import Study

_ABOUT = {
    "study": "What this study is called.",
    "task": "What the model learns to predict.",
    "data": "Whose images, and the contract: what an image looks like before the model sees it.",
    "model": "The network.",
    "training": "What a site does in a round.",
    "training.augment": "Random changes of the training images. Each replays from the seed.",
    "strategy": "How the coordinator makes one model out of the sites' updates.",
    "privacy": "What protects the patients in an update.",
    "participation": "How many sites a round needs, and how long it waits.",
    "simulation": "Read by `fedvox simulate` only.",
}


def commented(study: Study, written: Container[str]) -> str:
    """The study as TOML in which every key is explained, and commented out unless it is `written`.

    Commented out, because a data source may suggest better than a default; what is written counts.
    """
    lines = [
        "# A fedvox study. Remove the # in front of a key to set it. Keys left out have the value",
        "# shown here, or the one that suits the data source.",
    ]
    _table(lines, "", study, written)
    return "\n".join(lines) + "\n"


def _table(lines: list[str], prefix: str, section: BaseModel, written: Container[str]) -> None:
    tables = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            tables.append((f"{prefix}{name}", value))
            continue
        lines += [f"# {line}" for line in wrap(field.description or "", 98)]
        mark = "" if f"{prefix}{name}" in written else "#"
        lines.append(f"{mark}{name} = {toml_value(value)}")
    for name, table in tables:
        lines += ["", f"# {_ABOUT[name]}", f"[{name}]"]
        _table(lines, f"{name}.", table, written)
