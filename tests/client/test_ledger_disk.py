"""A disk that is full, or that may not be written: refused, told, and nothing lost."""

import os
import resource
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ledgers import WIDE, kinds, opened, place, reserved, sha, work

from fedvox.client.ledger.verify import look
from fedvox.client.outbox import Outbox
from fedvox.common.errors import ResourceError


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped, and says so, where none may be mounted."""
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("NOT TESTED: no file system may be mounted here", stacklevel=1)
        pytest.skip("NOT TESTED: mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def log_size(home: Path) -> int:
    return Path(f"{place(home).rows}-wal").stat().st_size


def test_a_row_that_does_not_fit_is_refused_and_the_next_one_fits_again(tmp_path: Path) -> None:
    with opened(tmp_path, WIDE) as ledger:
        reservation = reserved(ledger, work(1))
        for room in (0, 100, 3000):
            size = log_size(tmp_path) + room
            with largest_file(size):
                for act in (
                    lambda: ledger.reserve(work(2)),
                    lambda: ledger.release(reservation, sha("payload")),
                ):
                    with pytest.raises(ResourceError, match="free space"):
                        act()
            assert kinds(tmp_path) == ["opened", "reserved"]
        assert not reserved(ledger, work(2)).resumed
        ledger.release(reservation, sha("payload"))
    assert kinds(tmp_path) == ["opened", "reserved", "reserved", "released"]
    assert look(place(tmp_path)).findings == ()


def test_the_anchor_is_written_on_a_disk_without_room(tmp_path: Path) -> None:
    """It never grows, so a row that was written is anchored."""
    with opened(tmp_path, WIDE) as ledger:
        before = place(tmp_path).anchor.stat().st_size
        for number in range(5):
            reserved(ledger, work(number))
        assert place(tmp_path).anchor.stat().st_size == before == 256


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with disk(tmp_path / "small", "size=512k") as small:
        home = small / "home"
        with opened(home, WIDE) as ledger:
            reserved(ledger, work(0))
            filler = small / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1024))
            charged = 0
            with pytest.raises(ResourceError, match="full"):
                for charged in range(1, 500):
                    reserved(ledger, work(charged, noise=30.0))
            with pytest.raises(ResourceError):
                Outbox(home / "outbox").put(work(0).id, bytes(1 << 20))
            assert look(place(home)).findings == ()
            filler.unlink()
            assert reserved(ledger, work(0)).resumed
            reserved(ledger, work(charged, noise=30.0))
        assert kinds(home) == ["opened"] + ["reserved"] * (charged + 1)
        assert look(place(home)).findings == ()


def test_a_full_disk_takes_no_new_ledger_and_leaves_no_half_of_one(tmp_path: Path) -> None:
    with disk(tmp_path / "small", "size=64k") as small:
        (small / "filler").write_bytes(bytes(56 << 10))
        with pytest.raises(ResourceError):
            opened(small / "home", WIDE)
        (small / "filler").unlink()
    with disk(tmp_path / "large", "size=1m") as large, opened(large / "home", WIDE) as ledger:
        reserved(ledger, work(1))


def test_a_disk_that_may_not_be_written_is_told_and_can_still_be_looked_at(tmp_path: Path) -> None:
    with disk(tmp_path / "small", "size=1m") as small:
        home = small / "home"
        with opened(home, WIDE) as ledger:
            reserved(ledger, work(1))
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(ResourceError, match="(?i)read-only"):
            opened(home, WIDE)
        with pytest.raises(ResourceError, match="(?i)read-only"):
            opened(home, WIDE, "v2")
        with pytest.raises(ResourceError):
            Outbox(home / "outbox").put(work(1).id, b"payload")
        assert look(place(home)).findings == () and len(look(place(home)).links) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="permissions"):
        opened(tmp_path / "home", WIDE)


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(ResourceError, match="cannot be used"):
        opened(tmp_path / "home", WIDE)
