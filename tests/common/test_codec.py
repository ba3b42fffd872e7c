import json
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

from fedvox.common.arrays import mapping_of
from fedvox.common.codec import (
    FORMAT,
    CodecError,
    decode,
    encode,
    encoded_parts,
    encoded_size,
    mapped,
    notes_of,
    viewed,
)

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array(3, dtype=np.int64),
    "empty": np.zeros((0, 2), np.uint8),
}


def test_tensors_come_back_with_names_types_and_shapes() -> None:
    back = decode(encode(ARRAYS, {"study": "x"}))
    assert back.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array, strict=True)


def test_parts_joined_are_what_encode_gives() -> None:
    kinds = (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8)
    every = {f"{number}.é": np.ones((2, 3), kind).T for number, kind in enumerate(kinds)}
    for arrays in (ARRAYS, {**every, "flag": np.array([True, False])}):
        assert b"".join(encoded_parts(arrays)) == encode(arrays)


def test_notes_travel_in_the_header() -> None:
    assert notes_of(encode(ARRAYS, {"study": "x"})) == {"study": "x", "format": FORMAT}


def test_a_transposed_tensor_is_written_as_it_reads() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(decode(encode({"t": array}))["t"], array)


def test_a_file_is_mapped_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "case"
    path.write_bytes(encode(ARRAYS))
    back = mapped(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array, strict=True)
    assert isinstance(mapping_of(back["b"]), mmap)
    assert not back["b"].flags.writeable


def test_the_size_for_reports_is_near_the_real_one() -> None:
    arrays = {f"layer.{n}": np.ones((32, 32), np.float32) for n in range(40)}
    assert encoded_size(arrays) == pytest.approx(len(encode(arrays)), rel=0.03)


@pytest.mark.parametrize("cut", [0, 7, 8, 40, -1])
def test_cut_off_bytes_are_refused(cut: int, tmp_path: Path) -> None:
    data = encode(ARRAYS)[:cut]
    with pytest.raises(CodecError):
        decode(data)
    path = tmp_path / "cut"
    path.write_bytes(data)
    with pytest.raises(CodecError):
        mapped(path)


def test_a_header_that_claims_to_be_huge_costs_nothing() -> None:
    with pytest.raises(CodecError, match="shorter than its header"):
        decode((2**62).to_bytes(8, "little") + b"{}")


def test_every_flipped_header_byte_is_refused_or_changes_nothing_but_names() -> None:
    data = encode({"a": np.ones(3, np.float32)})
    end = 8 + int.from_bytes(data[:8], "little")
    refused = 0
    for at in range(end):
        flipped = data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]
        try:
            back = decode(flipped)
        except CodecError:
            refused += 1
        else:
            assert sum(array.size for array in back.values()) == 3
    assert refused > end // 2


def test_another_format_is_refused() -> None:
    from safetensors.numpy import save

    with pytest.raises(CodecError, match="this release reads"):
        decode(save({"a": np.ones(2)}, {"format": "other-9"}))
    with pytest.raises(CodecError, match=FORMAT):
        decode(save({"a": np.ones(2)}))


@pytest.mark.parametrize("read", [decode, viewed])
def test_offsets_and_shapes_that_do_not_fit_are_refused(
    read: Callable[[bytes], dict[str, np.ndarray]],
) -> None:
    whole = encode({"w": np.arange(6, dtype=np.float32)})
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    for change in (
        {"shape": [7]}, {"shape": [-6]}, {"shape": [2, 2]}, {"data_offsets": [0, 25]},
        {"data_offsets": [-24, 0]}, {"data_offsets": [24, 0]}, {"data_offsets": [0]},
        {"shape": "six"}, {"shape": [2**40]},
    ):  # fmt: skip
        text = json.dumps({**header, "w": {**header["w"], **change}}).encode()
        with pytest.raises(CodecError):
            read(len(text).to_bytes(8, "little") + text + whole[8 + length :])
