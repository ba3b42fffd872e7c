"""Large arrays in files without a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mounts import small_disk

from fedvox.common.errors import ResourceError
from fedvox.common.spool import Spool


def pieces(*values: bytes) -> list[tuple[int, memoryview]]:
    found, at = [], 0
    for value in values:
        found.append((at, memoryview(value)))
        at += len(value)
    return found[::-1]  # they may come in any order


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_pieces_are_put_together_and_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    kept = Spool(tmp_path).keep(pieces(b"ab" * 5000, b"cd"))
    assert kept[:] == b"ab" * 5000 + b"cd"
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_used_again_only_when_nobody_reads_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first = np.frombuffer(memoryview(spool.keep(pieces(b"1" * 9000)))[100:200], np.uint8)
    second = spool.keep(pieces(b"2" * 9000))
    assert set(first.tolist()) == {ord("1")}, "a view of the first is still held"
    before = descriptors()
    del first
    third = spool.keep(pieces(b"3" * 10))
    assert third[:] == b"3" * 10, "shorter than what was there before"
    assert second[:] == b"2" * 9000
    assert descriptors() <= before, "no third file was opened"


def test_files_that_nobody_reads_are_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    before = descriptors()
    kept = [spool.keep(pieces(bytes([n]) * 5000)) for n in range(10)]
    assert descriptors() > before + 10
    kept.clear()
    spool.keep(pieces(b"x"))
    assert descriptors() <= before + 2


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as small:
        spool = Spool(small)
        with pytest.raises(ResourceError, match="disk is full"):
            spool.keep(pieces(b"x" * (4 << 20)))
        assert spool.keep(pieces(b"y" * 1000))[:] == b"y" * 1000
