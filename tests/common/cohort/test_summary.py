"""The file: what is written is read back, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvox.common.cohort.axes import NUMBERS, WORDS
from fedvox.common.cohort.summary import LabelCount, Summary, read_summary
from fedvox.common.errors import InputError


def summary(**changes: Any) -> Summary:
    fields: dict[str, Any] = {
        "site": "north",
        "dataset": "a" * 24,
        "release": "histograms",
        "least_cell": 5,
        "task": "segmentation",
        "patients": 20,
        "words": {"modality": (20, 0, 0, 0)},
        "numbers": {"size_0": (20, *[0] * (len(NUMBERS["size_0"]) - 1))},
        "labels": (LabelCount(value=1, name="liver", patients=20),),
    }
    return Summary(**{**fields, **changes})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(summary().text())
    assert read_summary(path) == summary() and summary().text() == summary().text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "fedvox cohort 2"}, "format"),
        ({"patients": -1}, "patients"),
        ({"patients": 1.5}, "patients"),
        ({"site": "../x"}, "site"),
        ({"extra": 1}, "extra"),
        ({"words": {"modality": [1]}}, "modality"),
        ({"words": {"colour": [1, 2, 3, 4]}}, "colour"),
        ({"numbers": {"size_0": [1] * 99}}, "size_0"),
        ({"labels": [{"value": 1, "name": "a\nb", "patients": 5}]}, "labels"),
        ({"labels": [{"value": 1, "name": "a", "patients": 5}] * 2}, "twice"),
        ({"labels": [{"value": 1, "name": "a", "patients": float("nan")}]}, "."),
    ],
)
def test_what_is_no_summary_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**json.loads(summary().text()), **change}))
    with pytest.raises(InputError, match=f"(?s)a.json.*{said}"):
        read_summary(path)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff\xfe", b'{"a": ' * 100_000, b" " * (1 << 21)]
)
def test_bytes_that_are_no_file_of_ours(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        read_summary(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_summary(tmp_path / "none")


def test_histograms_are_known_by_name() -> None:
    assert set(WORDS) == {"modality", "dims", "channels", "cases"}
