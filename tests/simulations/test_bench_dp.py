"""Ratios by hand; every way of a step really taken, and the same where it should be."""

import pytest
import torch

from fedvox.simulations.bench.dp import LARGE, SMALL, Seconds, measured, outcome_of
from fedvox.simulations.bench.dp_steps import WAYS, Setting
from fedvox.simulations.bench.measure import fresh_process
from fedvox.simulations.bench.outcome import render

TINY = Setting(8, 2, channels=(4, 8))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_headlines_are_ratios_to_the_plain_step_beside() -> None:
    found = {
        SMALL: {
            "plain": Seconds([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]),
            "private": Seconds([1.2, 2.8, 4.4], [2.0, 3.0, 3.0]),
        },
        LARGE: {"plain": Seconds([1.0], [1.0]), "private": Seconds([1.2], [1.0])},
    }
    outcome = outcome_of(found, {LARGE: {"plain": 100 << 20, "private": 90 << 20}})
    assert render(outcome).splitlines()[-1] == (
        "dp: private over plain step 1.200 (<= 1.5: reached); with 96^3 patches 1.200 "
        "(<= 1.1: missed); its peak memory 0.900 (<= 1: reached)"
    )
    assert ("32^3 x 16 fp32: private", "2800 ms", "1.200", "1.500") in outcome.rows
    assert ("96^3 x 2 fp32, peak memory: private", "90 MiB", "0.900", "") in outcome.rows


def test_every_way_is_really_measured() -> None:
    said: list[str] = []
    found = measured(TINY, list(WAYS), 1, said.append)
    assert found.keys() == WAYS.keys()
    assert all(len(one.wall) == len(one.processor) == 1 for one in found.values())
    assert all(one.wall[0] > 0 for one in found.values())
    assert said[0] == "8^3 x 2 fp32, seconds:"


@pytest.mark.parametrize("way", ["plain", "private"])
def test_steps_run_in_a_process_of_their_own(way: str) -> None:
    setting = {"edge": 8, "batch": 2, "channels": [4, 8]}
    fresh = fresh_process("dp_steps", 120.0, way=way, steps=1, thread_count=1, **setting)
    assert fresh.result["steps"] == 1
    assert fresh.peak_bytes > 50 << 20
