"""A step with patient-level privacy against a plain one, and against Opacus: time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch

from fedvox.client.training.learner import threads
from fedvox.simulations.bench.dp_steps import WAYS, Setting, timed
from fedvox.simulations.bench.measure import Say, fresh_process, interleaved, median_ratio
from fedvox.simulations.bench.outcome import Headline, Outcome, Row

THREADS = 2
REPEATS = 7
_OURS = ("plain", "private", "clipped sum")
_STEPS_FOR_MEMORY = 3
_LIMIT_S = 300.0

SMALL = Setting(32, 16)
LARGE = Setting(96, 2)
WITHOUT_RIVALS = (
    LARGE,
    Setting(32, 16, channels_last=False),
    Setting(32, 16, bf16=True),
    Setting(96, 2, bf16=True),
)

Seconds = Mapping[str, Sequence[float]]
Peaks = Mapping[str, int]


def bench(folder: Path, say: Say) -> Outcome:
    """Steps of every arm in turn; memory in processes of their own."""
    with threads(THREADS):
        found = {SMALL: measured(SMALL, list(WAYS), REPEATS, say)}
        for setting in WITHOUT_RIVALS:
            found[setting] = measured(setting, _OURS, REPEATS, say)
    peaks = {setting: _peaks(setting, say) for setting in (LARGE, Setting(96, 2, bf16=True))}
    return outcome_of(found, peaks)


def measured(setting: Setting, ways: Sequence[str], repeats: int, say: Say) -> Seconds:
    """Seconds of a step, each way with a model of its own, all on the same batch."""
    say(f"{setting}, seconds:")
    return interleaved({way: timed(WAYS[way](setting)) for way in ways}, repeats, say)


def _peaks(setting: Setting, say: Say) -> Peaks:
    wanted = {"steps": _STEPS_FOR_MEMORY, "thread_count": THREADS, **asdict(setting)}
    peaks = {
        way: fresh_process("dp_steps", _LIMIT_S, way=way, **wanted).peak_bytes
        for way in ("plain", "private")
    }
    figures = ", ".join(f"{way} {peak >> 20} MiB" for way, peak in peaks.items())
    say(f"{setting}, peak memory: {figures}")
    return peaks


def outcome_of(found: Mapping[Setting, Seconds], memory: Mapping[Setting, Peaks]) -> Outcome:
    """The table, and what a private step is held to."""
    rows: list[Row] = []
    for setting, ways in found.items():
        for way, seconds in ways.items():
            ratio = median_ratio(seconds, ways["plain"])
            rows.append((f"{setting}: {way}", f"{1000 * median(seconds):.0f} ms", f"{ratio:.3f}"))
    for setting, peaks in memory.items():
        for way, peak in peaks.items():
            ratio = peak / peaks["plain"]
            rows.append((f"{setting}, peak memory: {way}", f"{peak >> 20} MiB", f"{ratio:.3f}"))
    small, large = (
        median_ratio(found[setting]["private"], found[setting]["plain"])
        for setting in (SMALL, LARGE)
    )
    peaks = memory[LARGE]
    return Outcome(
        "dp",
        ("a step", "median", "over plain"),
        rows,
        (
            Headline("private over plain step", small, "<=", 1.5),
            Headline("with 96^3 patches", large, "<=", 1.1),
            Headline("its peak memory", peaks["private"] / peaks["plain"], "<=", 1.0),
        ),
        {
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "threads": THREADS,
            "seconds": [{**asdict(setting), **ways} for setting, ways in found.items()],
            "peak_bytes": [{**asdict(setting), **peaks} for setting, peaks in memory.items()],
        },
        ("a private step is the clipped sum, noise and the optimizer's step",),
    )
