"""A round's memory: what a coordinator holds of models, whatever the number of sites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROUND = """
import json, resource, sys
from pathlib import Path
import numpy as np
from fedvox.common.arrays import blocks, sha256_of
from fedvox.common.codec import encode, viewed
from fedvox.common.memory import give_large_blocks_back
from fedvox.common.spool import Spool
from fedvox.common.study.sections import StrategySection
from fedvox.server.admit import admit, specs_of
from fedvox.server.checkpoint import Checkpoints, opened
from fedvox.server.strategies.registry import strategy_for
from fedvox.common.study import parse_study
from fedvox.server.strategies.strategy import Update

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

def pieces(path):
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield file.tell() - len(chunk), memoryview(chunk)

folder, sites, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
study = parse_study('[study]\\nname = "m"\\n[strategy]\\nname = "%s"\\n' % name)
strategy, checkpoints, spool = strategy_for(study), Checkpoints(folder / "c", 9), Spool(folder)
state = opened(folder / "c" / "round-00000.safetensors")
give_large_blocks_back()
before = peak()
for _ in range(2):
    expected = {"update": specs_of(state.weights)}
    sha256_of(state.weights)
    fold = strategy.begin(state)
    for number in range(sites):
        arrays = {"update": viewed(spool.keep(pieces(folder / "update")))}
        admit(arrays, expected, 1e9)
        fold = strategy.fold(fold, Update(f"site-{number}", 3, arrays))
        del arrays
    after = strategy.finish(state, fold, sites)
    state = opened(checkpoints.save(after, "s", "c"))
    del after, fold
print(json.dumps({"bytes": peak() - before, "sha256": sha256_of(state.weights)}))
"""
TENSORS, ELEMENTS = 8, 1_500_000
MODEL_BYTES = 4 * TENSORS * ELEMENTS


@pytest.mark.parametrize(("strategy", "models"), [("fedavg", 2.6), ("fedadam", 4.8)])
def test_a_round_holds_the_sum_and_little_else(
    strategy: str, models: float, tmp_path: Path
) -> None:
    """The sum takes two models, in 64-bit integers; each slot of a strategy one more."""
    from fedvox.common.codec import encode
    from fedvox.common.study import parse_study
    from fedvox.server.checkpoint import Checkpoints
    from fedvox.server.strategies.registry import strategy_for

    rng = np.random.default_rng(0)

    def arrays() -> dict[str, np.ndarray]:
        return {f"{n}": rng.random(ELEMENTS, np.float32) for n in range(TENSORS)}

    study = parse_study(f'[study]\nname = "m"\n[strategy]\nname = "{strategy}"\n')
    Checkpoints(tmp_path / "c").save(strategy_for(study).start(arrays()), "s", "c")
    (tmp_path / "update").write_bytes(encode(arrays()))
    found = []
    for sites in (2, 8):
        run = subprocess.run(
            [sys.executable, "-c", ROUND, str(tmp_path), str(sites), strategy],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        found.append(json.loads(run.stdout)["bytes"] / MODEL_BYTES)
    assert max(found) <= models, found
    assert found[1] <= found[0] + 0.2, "more sites take no more memory"
