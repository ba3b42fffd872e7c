"""What coordinator and sites say to each other, free of any transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fedvox.common.arrays import Arrays
from fedvox.common.errors import Refusal

Kind = Literal["describe", "train", "evaluate"]
Scalar = float | int | str | bool
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Request:
    """Asks a site for one piece of work. Same study, round and weights: same answer.

    `arrays` are groups of named tensors: "weights" always, and what the strategy adds ("control").
    """

    kind: Kind
    study: str
    """The study file as TOML."""
    round: int = 0
    weights_sha256: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    """kind = evaluate: {"split": "validation" | "test"}."""
    arrays: Mapping[str, Arrays] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A site's answer: groups of tensors and figures, or a refusal by its code."""

    site: str
    round: int = 0
    weights_sha256: str = ""
    """Of the weights that came in."""
    examples: int = 0
    """Patients behind the answer."""
    arrays: Mapping[str, Arrays] = field(default_factory=dict)
    """kind = train: "update" (after - before), and what the strategy asked for."""
    figures: Figures = field(default_factory=dict)
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    """kind = describe: what a coordinator must know of a site before it asks."""
    refusal: Refusal | None = None
