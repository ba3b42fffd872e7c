"""The benchmark's consortium is a real one, in small; plain Flower's takes longer than a test may."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedvox.simulations.bench.network import bench
from fedvox.simulations.bench.network_stock import timed_stock
from fedvox.simulations.bench.network_town import timed


@pytest.mark.parametrize("shared", [False, True])
def test_rounds_are_timed(tmp_path: Path, shared: bool) -> None:
    found = timed(tmp_path, 2, 1000, 3, shared=shared)
    assert len(found.seconds) == 3
    assert all(0 < seconds < 10 for seconds in found.seconds)
    assert found.gate_bytes > 50e6
    assert (found.link_bytes > 20e6) is not shared


@pytest.mark.slow
def test_plain_flower_is_timed(tmp_path: Path) -> None:
    found = timed_stock(tmp_path, 1, 1000, 1, 300.0)
    assert len(found.seconds) == 1 and found.seconds[0] > 0.5


@pytest.mark.slow
def test_the_whole_benchmark(tmp_path: Path) -> None:
    outcome = bench(tmp_path, print)
    assert [headline.what for headline in outcome.headlines if not headline.reached] == []
