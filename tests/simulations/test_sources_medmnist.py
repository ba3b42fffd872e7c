from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fedvox.common.errors import DataError
from fedvox.common.study import load_study
from fedvox.common.volume import Aside
from fedvox.simulations.sources import open_source
from fedvox.simulations.sources.medmnist import MedMnist

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def an_npz(path: Path, shape: tuple[int, ...], labels: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % labels)[:, None].astype(np.uint8)
    np.savez_compressed(path, **arrays)
    return arrays


@pytest.mark.parametrize(
    ("shape", "dims", "channels"),
    [((28, 28), 2, 1), ((28, 28, 3), 2, 3), ((28, 28, 28), 3, 1), ((16, 16, 16, 3), 3, 3)],
)
def test_medmnist_files_of_every_kind(tmp_path, shape, dims, channels):
    arrays = an_npz(tmp_path / "mine_28.npz", shape)
    spec, keys = str(tmp_path / "mine_28.npz"), []
    source = open_source(spec, load_study())
    study = load_study(settings=keys, defaults=source.suggests())
    assert (study.task.kind, study.task.classes) == ("classification", ("0", "1", "2"))
    assert (study.data.dims, study.data.channels) == (dims, channels)
    assert study.data.size == study.data.patch == shape[:dims]
    assert len(source.cases()) == 10
    assert list(source.cases()) == sorted(source.cases(), key=lambda ref: ref.case)
    ref = next(r for r in source.cases() if r.columns["split"] == "validation")
    found = source.load(ref)
    pixels = arrays["val_images"][0]
    assert np.array_equal(
        found.image, np.moveaxis(pixels, -1, 0) if channels == 3 else pixels[None]
    )
    assert found.label == 0
    assert len({source.fingerprint(ref) for ref in source.cases()}) == 10


def test_medmnist_class_names_are_the_published_ones(tmp_path):
    an_npz(tmp_path / "adrenalmnist3d_64.npz", (8, 8, 8), labels=2)
    names = MedMnist(tmp_path / "adrenalmnist3d_64.npz").suggests()["task"]["classes"]
    assert names == ["normal", "hyperplasia"]


def test_medmnist_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match="not a MedMNIST file"):
        MedMnist(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DataError, match="not a MedMNIST file"):
        MedMnist(path)
    np.savez(path, train_images=np.zeros((2, 8, 8)), train_labels=np.zeros((2, 14)))
    with pytest.raises(DataError, match="14 labels each"):
        MedMnist(path)
    np.savez(path, train_images=np.zeros((2, 8, 8)), train_labels=np.zeros((3, 1)))
    assert [e.reason for _, e in MedMnist(path).aside()] == [Aside.UNREADABLE]
    assert len(MedMnist(path).cases()) == 2


@pytest.mark.skipif(not (SHARED / "medmnist").is_dir(), reason="no shared data here")
def test_pneumonia():
    source = MedMnist(SHARED / "medmnist" / "pneumoniamnist.npz")
    assert len(source.cases()) == 4708 + 524 + 624
    assert source.suggests()["task"]["classes"] == ["normal", "pneumonia"]
    assert source.load(source.cases()[0]).image.shape == (1, 28, 28)
