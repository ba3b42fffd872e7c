from __future__ import annotations

import numpy as np
import pytest

from fedvox.common.codec import CodecError, decode, encode, viewed

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "none": np.empty((0, 2)),
    "n": np.array(7),
    "b": np.array([True, False]),
}


def test_a_view_shows_what_decoding_gives() -> None:
    data = encode(ARRAYS)
    found, copies = viewed(data), decode(data)
    assert found.keys() == copies.keys() == ARRAYS.keys()
    for name, array in copies.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape


def test_nothing_is_copied_and_nothing_can_be_written() -> None:
    data = encode(ARRAYS)
    found = viewed(data)["a"]
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert not found.flags.writeable


def test_other_bytes_are_no_tensors() -> None:
    for data in (b"", b"x" * 40, encode(ARRAYS)[:30]):
        with pytest.raises(CodecError):
            viewed(data)
