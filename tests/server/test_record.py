"""Round lines, whole files and the lock of a run directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedvox.common.errors import ResourceError, RunInUseError
from fedvox.common.files import RunLock, write_bytes_atomic, write_json_atomic, write_text_atomic
from fedvox.server.record import RoundLog


def lines(path: Path) -> list[int]:
    return [json.loads(line)["round"] for line in path.read_text().splitlines()]


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    log = RoundLog(tmp_path / "rounds.jsonl")
    assert log.read() == []
    log.append({"round": 1, "loss": np.float32(0.5), "dice": float("nan"), "site": "Ω"})
    log.append({"round": 2, "sites": {"a": {"n": np.int64(3)}}, "x": (1, np.array([1.5]))})
    assert log.path.read_bytes().endswith(b"}\n")
    assert log.read() == [
        {"round": 1, "loss": 0.5, "dice": None, "site": "Ω"},
        {"round": 2, "sites": {"a": {"n": 3}}, "x": [1, [1.5]]},
    ]


def test_resume_cuts_back_to_the_checkpoint(tmp_path: Path) -> None:
    log = RoundLog(tmp_path / "rounds.jsonl")
    assert log.cut_after(3) == 0
    for number in range(1, 6):
        log.append({"round": number})
    whole = log.path.read_bytes()
    assert log.cut_after(5) == 0
    assert log.path.read_bytes() == whole
    assert log.cut_after(3) == 2
    assert lines(log.path) == [1, 2, 3]
    log.append({"round": 4})
    assert log.path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:4])


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut) -> None:
    log = RoundLog(tmp_path / "rounds.jsonl")
    log.append({"round": 1})
    log.append({"round": 2})
    data = log.path.read_bytes()
    log.path.write_bytes(data[:-cut])
    assert [line["round"] for line in log.read()] == [1]
    assert log.cut_after(9) == 1
    log.append({"round": 2})
    assert log.path.read_bytes() == data


@pytest.mark.parametrize("torn", [b"\0\0\0\0\n", b"3\n", b"{}\n", b"\xff{\n"])
def test_lines_that_are_not_rounds_are_dropped(tmp_path: Path, torn) -> None:
    log = RoundLog(tmp_path / "rounds.jsonl")
    log.path.write_bytes(b'{"round":1}\n' + torn)
    assert log.cut_after(9) == 1
    assert lines(log.path) == [1]


def test_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json_atomic(path, {"wall_s": np.float64(1.5), "bad": [float("inf")], "name": "é"})
    assert json.loads(path.read_text()) == {"wall_s": 1.5, "bad": [None], "name": "é"}
    write_text_atomic(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    write_bytes_atomic(path, b"a", memoryview(b"bc"))
    assert path.read_bytes() == b"abc"
    assert [item.name for item in tmp_path.iterdir()] == ["summary.json"]


def test_an_old_file_is_replaced_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_text_atomic(path, "old")
    with path.open() as opened:
        write_text_atomic(path, "new")
        assert opened.read() == "old"
    assert path.read_text() == "new"


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text_atomic(path, "old")
    with pytest.raises(TypeError):
        write_json_atomic(path, {"x": object()})
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for work in (
        lambda: write_text_atomic(tmp_path / "file" / "x.json", "x"),
        lambda: RoundLog(tmp_path / "file" / "rounds.jsonl").append({"round": 1}),
        lambda: RunLock(tmp_path / "file").acquire(),
    ):
        with pytest.raises(ResourceError, match=r"file.*cannot be written.*(is a file|exists)"):
            work()
    with pytest.raises(ResourceError, match=r"nowhere/x\.json: cannot be written"):
        write_text_atomic(tmp_path / "nowhere" / "x.json", "x")


FULL = """
import resource, signal, sys
from pathlib import Path
from fedvox.common.errors import ResourceError
from fedvox.server.record import RoundLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
log = RoundLog(Path(sys.argv[1]))
log.append({"round": 1, "text": "x" * 50})
try:
    log.append({"round": 2, "text": "x" * 50})
except ResourceError as error:
    print(error)
"""


def test_a_line_that_does_not_fit_is_not_left_torn(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, path], capture_output=True, text=True, timeout=60, check=True
    )
    assert "larger than the system allows" in done.stdout
    assert path.read_bytes().endswith(b"\n")
    assert lines(path) == [1]


HOLD = """
import sys, time
from pathlib import Path
from fedvox.common.files import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("ending", ["leaves", "is killed"])
def test_one_process_at_a_time(tmp_path: Path, ending) -> None:
    folder = tmp_path / "run"
    process = holder(folder)
    try:
        with pytest.raises(RunInUseError, match=rf"run: process {process.pid} is working"):
            RunLock(folder).acquire()
    finally:
        if ending == "leaves":
            process.communicate("", timeout=20)
        else:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
    with RunLock(folder):
        assert int((folder / ".lock").read_text()) == os.getpid()
        with pytest.raises(RunInUseError, match=str(os.getpid())):
            RunLock(folder).acquire()
    RunLock(folder).acquire().release()
