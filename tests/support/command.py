"""The `fedvox` command as people and scripts use it: in this process, or as one of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedvox.common.cli import main

TINY = (
    "--sites=2", "--rounds=2", "--device=cpu",
    "--set=training.local_steps=1", "--set=training.batch_size=1", "--set=training.precision=fp32",
    "--set=simulation.patients=6", "--set=model.channels=[4, 8]",
)  # fmt: skip
"""Two sites, two rounds of one step, seven patients a site: a second, and all stages."""


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def fedvox(*words: str | Path) -> Said:
    """Runs `fedvox WORDS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as leaving:  # argparse
            status = int(leaving.code or 0)
    return Said(status, out.getvalue(), err.getvalue())


def simulate(out: Path, *words: str | Path, tiny: Sequence[str] = TINY) -> Said:
    """`fedvox simulate` of the tiny study into `out`."""
    return fedvox("simulate", *tiny, "--out", out, *words)


@contextlib.contextmanager
def process(*words: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`fedvox WORDS` as a process, which is gone when the block is left."""
    command = [str(Path(sys.executable).with_name("fedvox")), *map(str, words)]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        with started:
            yield started
    finally:
        started.kill()


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextlib.contextmanager
def cached_in(folder: Path) -> Iterator[None]:
    """What fedvox keeps, it keeps there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVOX_CACHE", str(folder))
        yield
