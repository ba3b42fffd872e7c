"""A step with patient-level privacy against a plain one, and against Opacus: time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, median_low

import torch

from fedvox.client.training.learner import threads
from fedvox.simulations.bench.dp_steps import WAYS, Setting, Timed
from fedvox.simulations.bench.measure import Say, fresh_process, interleaved, median_ratio
from fedvox.simulations.bench.outcome import Headline, Outcome, Row

THREADS = 2
REPEATS = 7
_OURS = ("plain", "private", "clipped sum")
_STEPS_FOR_MEMORY = 3
_PROCESSES_FOR_MEMORY = 3
"""Of one and the same way the allocator's peak differs by a twentieth."""
_LIMIT_S = 300.0

SMALL = Setting(32, 16)
LARGE = Setting(96, 2)
WITHOUT_RIVALS = (
    LARGE,
    Setting(32, 16, channels_last=False),
    Setting(32, 16, bf16=True),
    Setting(96, 2, bf16=True),
)

Peaks = Mapping[str, int]


@dataclass(frozen=True)
class Seconds:
    """Of the steps of one way, taken in turn with the others."""

    wall: Sequence[float]
    processor: Sequence[float]


Found = Mapping[str, Seconds]
"""By way."""


def bench(folder: Path, say: Say) -> Outcome:
    """Steps of every arm in turn; memory in processes of their own."""
    with threads(THREADS):
        found = {SMALL: measured(SMALL, list(WAYS), REPEATS, say)}
        for setting in WITHOUT_RIVALS:
            found[setting] = measured(setting, _OURS, REPEATS, say)
    peaks = {setting: _peaks(setting, say) for setting in (LARGE, Setting(96, 2, bf16=True))}
    return outcome_of(found, peaks)


def measured(setting: Setting, ways: Sequence[str], repeats: int, say: Say) -> Found:
    """Every way has a model of its own, all on the same batch."""
    say(f"{setting}, seconds:")
    arms = {way: Timed(WAYS[way](setting)) for way in ways}
    wall = interleaved(arms, repeats, say)
    return {way: Seconds(wall[way], arm.processor) for way, arm in arms.items()}


def _peaks(setting: Setting, say: Say) -> Peaks:
    wanted = {"steps": _STEPS_FOR_MEMORY, "thread_count": THREADS, **asdict(setting)}
    ways = ("plain", "private")
    found: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(_PROCESSES_FOR_MEMORY):
        for way in ways:
            fresh = fresh_process("dp_steps", _LIMIT_S, way=way, **wanted)
            found[way].append(fresh.peak_bytes)
    peaks = {way: median_low(own) for way, own in found.items()}
    figures = ", ".join(f"{way} {peak >> 20} MiB" for way, peak in peaks.items())
    say(f"{setting}, peak memory: {figures}")
    return peaks


def outcome_of(found: Mapping[Setting, Found], memory: Mapping[Setting, Peaks]) -> Outcome:
    """The table, and what a private step is held to."""
    peaks = memory[LARGE]
    return Outcome(
        "dp",
        ("a step", "median", "over plain", "in processor time"),
        [*_time_rows(found), *_memory_rows(memory)],
        (
            Headline("private over plain step", _ratio(found[SMALL]), "<=", 1.5),
            Headline("with 96^3 patches", _ratio(found[LARGE]), "<=", 1.1),
            Headline("its peak memory", peaks["private"] / peaks["plain"], "<=", 1.0),
        ),
        {
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "threads": THREADS,
            "seconds": [
                {**asdict(setting), "way": way, **asdict(seconds)}
                for setting, ways in found.items()
                for way, seconds in ways.items()
            ],
            "peak_bytes": [{**asdict(setting), **peaks} for setting, peaks in memory.items()],
        },
        ("a private step is the clipped sum, noise and the optimizer's step",),
    )


def _ratio(ways: Found, way: str = "private") -> float:
    return median_ratio(ways[way].wall, ways["plain"].wall)


def _time_rows(found: Mapping[Setting, Found]) -> Iterator[Row]:
    for setting, ways in found.items():
        for way, seconds in ways.items():
            processor = median_ratio(seconds.processor, ways["plain"].processor)
            wall = f"{1000 * median(seconds.wall):.0f} ms"
            yield f"{setting}: {way}", wall, f"{_ratio(ways, way):.3f}", f"{processor:.3f}"


def _memory_rows(memory: Mapping[Setting, Peaks]) -> Iterator[Row]:
    for setting, peaks in memory.items():
        for way, peak in peaks.items():
            ratio = f"{peak / peaks['plain']:.3f}"
            yield f"{setting}, peak memory: {way}", f"{peak >> 20} MiB", ratio, ""
