"""Arms measured in turn: ratios within one run, medians, peak memory of a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fedvox.common.errors import FedvoxError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fresh:
    """What a fresh process gave, start-up included."""

    seconds: float
    result: Mapping[str, Any]

    @property
    def peak_bytes(self) -> int:
        """Most memory the process held at once."""
        return int(self.result["peak_bytes"])


def interleaved(
    arms: Mapping[str, Callable[[], float]], repeats: int, say: Say
) -> dict[str, list[float]]:
    """Figures of every arm, each repeat running all arms; who begins alternates."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats):
        names = list(arms)[:: 1 if repeat % 2 == 0 else -1]
        for name in names:
            found[name].append(arms[name]())
        figures = ", ".join(f"{name} {found[name][-1]:.2f}" for name in arms)
        say(f"{repeat + 1}/{repeats}: {figures}")
    return found


def median_ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    """The median of the ratios of what was measured side by side."""
    return median(one / other for one, other in zip(upper, lower, strict=True))


def fresh_process(arm: str, timeout_s: float, **settings: Any) -> Fresh:
    """Runs an arm of `fedvox.simulations.bench.arms` in a process of its own."""
    command = [sys.executable, "-m", "fedvox.simulations.bench.arms", arm, json.dumps(settings)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    seconds = time.perf_counter() - begun
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise FedvoxError(
            f"the arm {arm} ended with status {done.returncode}: {done.stderr[-800:]}"
        )
    return Fresh(seconds, json.loads(lines[-1]))


def peak_bytes() -> int:
    """Most memory this process has held at once.

    From the kernel's VmHWM: ru_maxrss would begin with what the parent process held.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
