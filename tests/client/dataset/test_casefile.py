"""The file of a case: what went in comes out, mapped, under the same name for the same content."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import content
from safetensors.numpy import load_file

from fedvox.client.dataset import casefile
from fedvox.client.dataset.case import Facts
from fedvox.common.errors import ResourceError


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_what_went_in_comes_out(tmp_path: Path, dtype: type) -> None:
    made = content(3, dtype=dtype)
    packed = casefile.packed(made)
    casefile.write(tmp_path / "aa" / "case.safetensors", packed)
    back = casefile.read(tmp_path / "aa" / "case.safetensors", made.facts)
    assert back.image.dtype == dtype
    np.testing.assert_array_equal(back.image, made.image)
    np.testing.assert_array_equal(back.label, made.label)
    np.testing.assert_array_equal(back.affine, made.affine)
    assert (tmp_path / "aa" / "case.safetensors").stat().st_size == packed.bytes
    assert (tmp_path / "aa" / "case.safetensors").stat().st_mode & 0o077 == 0


def test_another_library_reads_the_slices_in_order(tmp_path: Path) -> None:
    made = content(3)
    casefile.write(tmp_path / "c.safetensors", casefile.packed(made))
    raw = load_file(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(raw["image"][0, 4], made.image[0, :, :, 4].T)


def test_the_name_is_of_the_content_however_it_lies_in_memory() -> None:
    made = content(1)
    turned = dataclasses.replace(made, image=np.asfortranarray(made.image))
    assert casefile.packed(made).key == casefile.packed(turned).key
    wide = dataclasses.replace(made, label=made.label.astype(np.int64))  # type: ignore[union-attr]
    assert casefile.packed(made).key == casefile.packed(wide).key


def test_every_part_of_the_content_counts() -> None:
    made = content(1)
    image = made.image.copy()
    image[0, 1, 2, 3] += 1
    moved = made.affine.copy()
    moved[0, 3] += 0.001
    label = made.label.copy()  # type: ignore[union-attr]
    label[0, 0, 0] += 1
    facts = dataclasses.replace(made.facts, attributes={"manufacturer": "Philips"})
    others = [
        dataclasses.replace(made, image=image),
        dataclasses.replace(made, affine=moved),
        dataclasses.replace(made, label=label),
        dataclasses.replace(made, label=None),
        dataclasses.replace(made, facts=facts),
        dataclasses.replace(made, image=made.image.astype(np.float32)),
    ]
    keys = [casefile.packed(one).key for one in (made, *others)]
    assert len(set(keys)) == len(keys)
    images = [casefile.packed(one).image_sha256 for one in (made, *others)]
    assert images[3] == images[4] == images[5] == images[0]
    assert len({images[0], images[1], images[2], images[6]}) == 4


def test_damage_is_found(tmp_path: Path) -> None:
    made, path = content(1), tmp_path / "c.safetensors"
    packed = casefile.packed(made)
    casefile.write(path, packed)
    assert casefile.verified(path, made.facts) == packed.key
    whole = path.read_bytes()
    for at in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert casefile.verified(path, made.facts) != packed.key


def test_facts_survive_their_text() -> None:
    facts = content(1).facts
    assert Facts.of(facts.as_text()) == facts


def test_reading_a_volume_is_a_memory_map(tmp_path: Path) -> None:
    made = content(1, size=96)
    path = tmp_path / "c.safetensors"
    casefile.write(path, casefile.packed(made))
    took = []
    for _ in range(5):
        started = time.perf_counter()
        casefile.read(path, made.facts)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.005


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="run the same command again"):
        casefile.write(tmp_path / "file" / "c.safetensors", casefile.packed(content(1)))
