"""Checkpoints: whole or passed over, never of another study, safe from full disks and kills."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedvox.common.errors import CheckpointError, ResourceError
from fedvox.server.checkpoint import Checkpoints
from fedvox.server.strategies import State


def state(number: int) -> State:
    rng = np.random.default_rng(number)
    weights = {
        "net.0.weight": rng.standard_normal((2, 3), np.float32),
        "net/odd": rng.standard_normal(2).astype(np.float16),
        "alone": np.array(0.5, np.float32),
        "none": np.zeros((0, 2), np.float32),
    }
    slots = {
        "momentum": {"net.0.weight": rng.standard_normal((2, 3))},
        "m_t": {"net/odd": rng.standard_normal(2)},
    }
    return State(weights, number, slots)


def bits(arrays):
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


def same(left: State, right: State) -> bool:
    slots = left.slots.keys() == right.slots.keys() and all(
        bits(left.slots[slot]) == bits(right.slots[slot]) for slot in left.slots
    )
    return left.round == right.round and bits(left.weights) == bits(right.weights) and slots


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved(folder: Path, *rounds: int, keep: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for number in rounds:
        checkpoints.save(state(number), "study", "contract")
    return checkpoints


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.latest("study", "contract").state is None
    path = checkpoints.save(state(7), "study", "contract", fedvox="0.1.0")
    assert path.name == "round-00007.safetensors"
    found = checkpoints.latest("study", "contract")
    assert found.path == path
    assert found.passed_over == ()
    assert found.state is not None
    assert same(found.state, state(7))
    assert found.state.weights["net.0.weight"].shape == (2, 3)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    path = saved(tmp_path, 1).latest("study", "contract").path
    assert path is not None
    arrays = load_file(path)
    assert set(arrays) >= {"weights/net.0.weight", "slot/momentum/net.0.weight"}
    np.testing.assert_array_equal(arrays["weights/net.0.weight"], state(1).weights["net.0.weight"])


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, *range(1, 6), keep=2)
    assert names(tmp_path) == ["round-00004.safetensors", "round-00005.safetensors"]
    (tmp_path / "notes.txt").write_text("mine")
    saved(tmp_path, 6, keep=1)
    assert names(tmp_path) == ["notes.txt", "round-00006.safetensors"]


def test_a_step_back_voids_what_came_after(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 6, 7, 8)
    (tmp_path / "round-00008.safetensors").write_bytes(b"damaged")
    checkpoints.save(state(7), "study", "contract")
    # Had round 8 counted among the newest two, only round 7 would be left to fall back on.
    assert names(tmp_path) == ["round-00007.safetensors"]


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = tmp_path / "round-00002.safetensors"
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= (0x01, 0x20, 0x80)[at % 3]
        path.write_bytes(damaged)
        found = checkpoints.latest("study", "contract")
        assert found.state is not None, at
        assert found.state.round == 1, at
        assert [name for name, _ in found.passed_over] == [path]


def test_every_truncation_is_found(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = tmp_path / "round-00002.safetensors"
    whole = path.read_bytes()
    for damaged in (*(whole[:length] for length in range(0, len(whole), 3)), whole + b"\0"):
        path.write_bytes(damaged)
        found = checkpoints.latest("study", "contract")
        assert found.state is not None
        assert found.state.round == 1
        ((name, reason),) = found.passed_over
        assert name == path
        assert reason


def test_when_none_is_whole_it_says_what_to_do(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"no checkpoint is whole \(round-00002.*round-00001"):
        checkpoints.latest("study", "contract")


def test_another_study_or_contract_is_named(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    with pytest.raises(
        CheckpointError, match=r"round-00001\.safetensors: belongs to another study"
    ):
        checkpoints.latest("other", "contract")
    for study in ("study", "other"):
        with pytest.raises(CheckpointError, match="another data contract"):
            checkpoints.latest(study, "other")


def test_what_a_kill_leaves_behind_is_ignored_and_cleared(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    whole = (tmp_path / "round-00001.safetensors").read_bytes()
    (tmp_path / ".round-00002.safetensors.tmp").write_bytes(whole[:100])
    (tmp_path / ".round-00009.safetensors.tmp").write_bytes(whole)
    found = checkpoints.latest("study", "contract")
    assert found.state is not None
    assert (found.state.round, found.passed_over) == (1, ())
    checkpoints.save(state(2), "study", "contract")
    assert names(tmp_path) == ["round-00001.safetensors", "round-00002.safetensors"]


SAVE = """
import sys
from pathlib import Path
import numpy as np
from fedvox.server.checkpoint import Checkpoints
from fedvox.server.strategies import State
print("ready", flush=True)
number = 0
while True:
    number += 1
    weights = {"w": np.full(300_000, number, np.float32)}
    Checkpoints(Path(sys.argv[1])).save(State(weights, number), "study", "contract")
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE, tmp_path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while not list(tmp_path.glob("round-*.safetensors")):
            assert process.poll() is None
        try:
            process.wait(0.05 + 0.017 * attempt)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(timeout=20)
        found = Checkpoints(tmp_path).latest("study", "contract")
        assert found.state is not None
        assert found.passed_over == ()
        assert (found.state.weights["w"] == found.state.round).all()
        for path in tmp_path.iterdir():
            path.unlink()


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from fedvox.common.errors import ResourceError
from fedvox.server.checkpoint import Checkpoints
from fedvox.server.strategies import State
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Checkpoints(Path(sys.argv[1])).save(State({"w": np.ones(50_000)}, 3), "study", "contract")
except ResourceError as error:
    print(error)
"""


def test_a_file_that_is_too_large_leaves_the_old_ones(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "round-00003.safetensors: cannot be written: the file is larger" in done.stdout
    unharmed(tmp_path)


def unharmed(folder: Path) -> None:
    assert names(folder) == ["round-00001.safetensors", "round-00002.safetensors"]
    found = Checkpoints(folder).latest("study", "contract")
    assert found.state is not None
    assert same(found.state, state(2))


@contextmanager
def mounted(folder: Path, *options: str):
    """A file system of its own in `folder`, where this machine lets us mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=20)


def test_a_full_disk_leaves_the_old_ones(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-o", "size=64k") as disk:
        checkpoints = saved(disk, 1, 2)
        large = State({"w": np.ones(50_000)}, 3)
        with pytest.raises(ResourceError, match="the disk is full; free space, then do the same"):
            checkpoints.save(large, "study", "contract")
        unharmed(disk)


def test_a_read_only_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        checkpoints = saved(disk, 1, 2)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=20)
        with pytest.raises(ResourceError, match="read-only; remount it, or choose another folder"):
            checkpoints.save(state(3), "study", "contract")
        unharmed(disk)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="a part of the path is a file"):
        Checkpoints(tmp_path / "file" / "checkpoints").save(state(1), "study", "contract")


def test_a_slot_cannot_hide_in_another(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'a/b'"):
        Checkpoints(tmp_path).save(State({}, 1, {"a/b": {}}), "study", "contract")
