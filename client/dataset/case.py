"""A case of a dataset: what the manifest says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Attribute = str | float


@dataclass(frozen=True)
class Facts:
    """What is known of a case without reading its voxels; nothing of it names a person."""

    shape: tuple[int, ...]
    """[channels, x, y, z]"""
    dtype: str
    """int16 or float32."""
    spacing_mm: tuple[float, ...]
    axes: str
    """Where the voxel axes point, such as LPS."""
    modality: str
    label: str = ""
    """map, class, or empty: not labelled."""
    values: tuple[int, ...] = ()
    """Of a label map: which values it holds."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of a label map: what values are called, where the label said."""
    class_name: str = ""
    """Of a class label."""
    flags: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def planar(self) -> bool:
        """Whether it is a projection, of two dimensions."""
        return "planar" in self.flags

    def as_text(self) -> str:
        """JSON, always the same for the same facts."""
        plain = {**self.__dict__, "names": {str(k): v for k, v in sorted(self.names.items())}}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def of(cls, text: str) -> Facts:
        """What `as_text` wrote."""
        plain: dict[str, Any] = json.loads(text)
        tuples = {key: tuple(plain[key]) for key in ("shape", "spacing_mm", "values", "flags")}
        names = {int(value): name for value, name in plain["names"].items()}
        return cls(**{**plain, **tuples, "names": names})


@dataclass(frozen=True)
class Case:
    """One image of one patient, with its label if it has one."""

    key: str
    """Hash of what the case holds."""
    image_sha256: str
    """Hash of voxels and geometry alone."""
    patient: str
    """The pseudonym."""
    study: str
    """UIDs under 2.25, made with the site's key."""
    series: str
    facts: Facts
    bytes: int
    """Size of the file."""

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        facts = json.loads(self.facts.as_text())
        return {
            "case": self.key,
            "patient": self.patient,
            "study": self.study,
            "series": self.series,
            **facts,
            "bytes": self.bytes,
        }
