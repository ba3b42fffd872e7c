"""The decoding process: ended, stopped, fed with damage; the reader lives on."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from dicom_series import Series, datasets, write
from numpy.typing import NDArray
from pydicom.uid import RLELossless

from fedvox.client.ingest.reading import encapsulated
from fedvox.client.ingest.reading.encapsulated import Decoder
from fedvox.client.ingest.reading.find import find
from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.geometry import Stack
from fedvox.client.ingest.reasons import Quarantined, Reason

SERIES = Series(4)


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Frame, ...]:
    slices = datasets(SERIES)
    for ds in slices:
        ds.compress(RLELossless, generate_instance_uid=False)
    write(tmp_path, slices)
    (ref,) = find([tmp_path]).scans
    if not isinstance(ref.plan, Stack):
        raise TypeError
    return ref.plan.frames


def decoded(decoder: Decoder, frames: tuple[Frame, ...]) -> NDArray[np.int16]:
    return np.stack(list(decoder.frames(frames)))


def pid_of(decoder: Decoder) -> int:
    child = decoder._child
    if child is None:
        raise RuntimeError("no process")
    return child._process.pid


def test_one_process_decodes_all_and_goes_when_told(frames: tuple[Frame, ...]) -> None:
    decoder = Decoder()
    np.testing.assert_array_equal(decoded(decoder, frames), SERIES.voxels())
    pid = pid_of(decoder)
    np.testing.assert_array_equal(decoded(decoder, frames[::-1]), SERIES.voxels()[::-1])
    assert pid_of(decoder) == pid
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_was_killed_is_replaced(frames: tuple[Frame, ...]) -> None:
    decoder = Decoder()
    decoded(decoder, frames)
    os.kill(pid_of(decoder), signal.SIGKILL)
    np.testing.assert_array_equal(decoded(decoder, frames), SERIES.voxels())
    decoder.close()


def test_a_process_that_hangs_is_given_up(
    frames: tuple[Frame, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder()
    decoded(decoder, frames)
    pid = pid_of(decoder)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(encapsulated, "PATIENCE_S", 0.2)
    monkeypatch.setattr(encapsulated, "PATIENCE_S_A_FRAME", 0.0)
    with pytest.raises(Quarantined) as caught:
        decoded(decoder, frames)
    assert caught.value.reason is Reason.PIXEL_DATA_DAMAGED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    monkeypatch.setattr(encapsulated, "PATIENCE_S", 60.0)
    np.testing.assert_array_equal(decoded(decoder, frames), SERIES.voxels())
    decoder.close()


def test_damaged_frames_are_a_reason_and_the_next_file_is_read(frames: tuple[Frame, ...]) -> None:
    content = frames[1].path.read_bytes()
    frames[1].path.write_bytes(content[:-60] + bytes(60))
    decoder = Decoder()
    with pytest.raises(Quarantined) as caught:
        decoded(decoder, frames)
    assert caught.value.reason is Reason.PIXEL_DATA_DAMAGED
    np.testing.assert_array_equal(decoded(decoder, frames[2:]), SERIES.voxels()[2:])
    decoder.close()


def test_a_fork_has_a_process_of_its_own(frames: tuple[Frame, ...]) -> None:
    decoder = Decoder()
    decoded(decoder, frames)
    decoder._owner = -1  # as in a fork, which has its parent's process at hand
    before = decoder._child
    np.testing.assert_array_equal(decoded(decoder, frames), SERIES.voxels())
    assert decoder._child is not before
    if before:
        before.end()
    decoder.close()
