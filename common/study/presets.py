"""What the keys of a study default to under another task or strategy than the schema's.

The defaults in the schema are those of segmentation by fedavg; a preset yields to everything that
the file, the command line or the data source says.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

_CLASSIFICATION: dict[str, dict[str, Any]] = {
    "data": {"size": [32, 32, 32], "patch": [32, 32, 32]},
    # Instance norm in front of the pooling would take away what the channels' means say.
    "model": {"name": "resnet18", "channels": [16], "norm": "group"},
    "training": {"lr": 1e-3, "balance": True, "augment": {"flip": 0.5}},
}


_ADAPTIVE = frozenset({"fedadam", "fedyogi", "fedadagrad"})


def with_presets(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables of a study, with the presets of their task and strategy below them."""
    if _table(tables, "strategy").get("name") in _ADAPTIVE:
        # Every parameter moves by about the server's rate a round, whatever the sites sent.
        tables = merge_tables({"strategy": {"server_lr": 0.01}}, tables)
    if _table(tables, "task").get("kind") != "classification":
        flat = _table(tables, "data").get("dims") == 2
        return merge_tables({"data": {"patch": [32, 32]}}, tables) if flat else tables
    preset = deepcopy(_CLASSIFICATION)
    data = _table(tables, "data")
    for key, other in (("patch", "size"), ("size", "patch")):
        if key in data and other not in data:  # a classifier sees whole volumes
            preset["data"][other] = data[key]
    if data.get("dims") == 2 and "patch" not in data and "size" not in data:
        preset["data"].update(size=[32, 32], patch=[32, 32])
    return merge_tables(preset, tables)


def merge_tables(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with everything that `above` says laid over it."""
    for key, value in above.items():
        both = isinstance(below.get(key), dict) and isinstance(value, dict)
        below[key] = merge_tables(below[key], value) if both and key != "label_map" else value
    return below


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    return table if isinstance(table, dict) else {}
