"""The file in which a site tells of its patients: JSON, with a version, of nothing but counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedvox.common.cohort.axes import NUMBERS, WORDS
from fedvox.common.errors import InputError
from fedvox.common.study.sections import Section

FORMAT = "fedvox cohort 1"
_MOST_BYTES = 1 << 20
_MOST_LABELS = 255

Count = Annotated[int, Field(ge=0, le=10_000_000)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,47}$"
"""What a label may be called outside: short, and of letters."""


class LabelCount(Section):
    """Patients whose label maps hold a value, or who are of a class."""

    value: int | None = Field(None, ge=0, le=2**31 - 1)
    """None: the class of a whole image."""
    name: str = Field("", pattern=rf"^$|{NAME}")
    """Empty: not said, or said by too few."""
    patients: Count


class NoiseTerms(Section):
    """What was added to every count, and what that cost."""

    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    deviation: float = Field(gt=0)
    """Of the noise on each count, in patients."""


class Summary(Section):
    """What one site tells of one version of one dataset."""

    format: Literal["fedvox cohort 1"] = "fedvox cohort 1"
    site: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    dataset: str = Field(pattern=r"^[0-9a-f]{24}$")
    """Stands for the version: another for other cases. Only the site can tell which."""
    release: Literal["counts", "histograms"]
    least_cell: int = Field(ge=3)
    """Patients that every count stands for, at least; the noise stands for that where there is
    some."""
    noise: NoiseTerms | None = None
    task: Literal["segmentation", "classification", "none"]
    """What the labels are for."""
    patients: Count
    """Rounded down, or noised, as is every other count."""
    words: dict[str, tuple[Count, ...]]
    numbers: dict[str, tuple[Count, ...]] = Field(default_factory=dict)
    labels: tuple[LabelCount, ...] = Field((), max_length=_MOST_LABELS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        cells = {name: len(words) for name, words in WORDS.items()}
        centres = {name: len(values) for name, values in NUMBERS.items()}
        for key, found, known in (
            ("words", self.words, cells),
            ("numbers", self.numbers, centres),
        ):
            for name, counts in found.items():
                if known.get(name) != len(counts):
                    raise ValueError(f"{key}: {name!r} is no histogram of this format")
        keys = [(label.value, label.name if label.value is None else "") for label in self.labels]
        if len(set(keys)) != len(keys):
            raise ValueError("labels: one stands twice")
        return self

    def text(self) -> str:
        """The file; always the same for the same counts."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"


def read_summary(path: Path) -> Summary:
    """The summary in a file; InputError where it is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path}: too large to be what `fedvox site cohort` writes")
    try:
        return Summary.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(
            f"{path}: not what `fedvox site cohort` of this release writes: {where}: {message}"
        ) from None
