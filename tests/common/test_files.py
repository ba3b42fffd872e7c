"""What cannot be written is told with its remedy, and with one that fits the command."""

import errno
import os
from pathlib import Path

import pytest

from fedvox.common.errors import ResourceError, RunInUseError
from fedvox.common.files import RunLock, write_bytes_atomic, writing


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "the disk is full; free space"),
        (errno.EDQUOT, "the disk quota is used up; free space"),
        (errno.EROFS, "read-only; remount it, or choose another folder"),
        (errno.EACCES, "no permission; work as the user whose folder it is"),
        (errno.ENOTDIR, "a part of the path is a file"),
        (errno.EIO, "look at the disk"),
    ],
)
def test_what_the_system_says_comes_with_a_remedy(number: int, remedy: str) -> None:
    with pytest.raises(ResourceError) as told, writing(Path("/data/x")):
        raise OSError(number, os.strerror(number))
    said = str(told.value)
    assert said.startswith("/data/x: cannot be written: ") and remedy in said
    assert "then do the same again. What was written before is intact" in said
    # Commands that take no such option must not be told to use it.
    assert "--resume" not in said and "--out" not in said


def test_a_caller_that_knows_better_says_what_to_do() -> None:
    with (
        pytest.raises(ResourceError, match="free space, then take another --out. What"),
        writing(Path("/data/x"), "take another --out"),
    ):
        raise OSError(errno.ENOSPC, "full")


def test_an_old_file_outlives_a_write_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes_atomic(path, b"old")

    with pytest.raises(TypeError):
        write_bytes_atomic(path, b"new", "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_who_holds_a_folder_is_named(tmp_path: Path) -> None:
    with (
        RunLock(tmp_path),
        pytest.raises(RunInUseError, match=rf"process {os.getpid()} is working in this folder"),
    ):
        RunLock(tmp_path).acquire()
