"""From DICOM files to a model: ingest, then `fedvox simulate --data store:HOME/NAME`."""

from pathlib import Path

import numpy as np
import pytest
from command import cached_in, fedvox, simulate, summary
from datasets import PATIENTS, dataset
from dicom_series import Series, write
from dicom_series import datasets as slices_of
from pydicom.dataset import FileDataset
from small import tiny

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.withdrawal import withdraw
from fedvox.common.errors import DataError
from fedvox.common.study import load_study
from fedvox.simulations.consortium import gather
from fedvox.simulations.sources import open_source

TINY = (
    "--sites=2", "--rounds=1", "--device=cpu",
    "--set=training.local_steps=1", "--set=training.batch_size=1", "--set=training.precision=fp32",
    "--set=model.channels=[4, 8]",
)  # fmt: skip


def scan_with_segments(folder: Path, number: int) -> None:
    """A CT series with a bright cube, and a DICOM SEG of the cube."""
    import highdicom
    from pydicom.sr.codedict import codes

    series = Series(8, 20, 18, number=number, patient=f"PAT-{number}")
    voxels = np.random.default_rng(number).integers(900, 1000, (8, 20, 18)).astype(np.int16)
    cube = (slice(2, 6), slice(5, 12), slice(4 + number % 3, 11))
    voxels[cube] += 300
    slices: list[FileDataset] = slices_of(series, voxels)
    for ds in slices:
        ds.PatientBirthDate, ds.AccessionNumber, ds.StudyID = "", "", ""
        ds.ReferringPhysicianName = ""
    write(folder / "images" / str(number), slices)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[cube] = 1
    segment = highdicom.seg.SegmentDescription(
        1, "Liver", codes.SCT.Organ, codes.SCT.Liver, "MANUAL"
    )
    made = highdicom.seg.Segmentation(
        slices, mask, "BINARY", [segment], f"1.2.3.{number}", 1, f"1.2.3.{number}.1", 1,
        "maker", "model", "1", "serial",
    )  # fmt: skip
    (folder / "labels").mkdir(exist_ok=True)
    made.save_as(folder / "labels" / f"{number}.dcm")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_from_dicom_to_a_model(tmp_path: Path) -> None:
    for number in range(1, 9):
        scan_with_segments(tmp_path / "in", number)
    home = tmp_path / "home"
    said = fedvox(
        "site", "ingest", tmp_path / "in/images", "--labels", tmp_path / "in/labels",
        "--dataset", "liver", "--task", "segmentation", "--home", home, "--json",
    )  # fmt: skip
    assert said.status == 0 and '"labelled": 8' in said.out, said.out + said.err
    with cached_in(tmp_path / "cache"):
        run = simulate(tmp_path / "run", "--data", f"store:{home}/liver", "--quiet", tiny=TINY)
    assert run.status == 0, run.err
    found = summary(tmp_path / "run")
    assert found["status"] == "done" and found["model_sha256"]
    assert found["classes"] == ["background", "Liver"]
    assert found["rounds_completed"] == 1
    assert sum(site["patients_train"] for site in found["sites"]) >= 4
    assert found["data"]["source"] == "liver"


def test_a_store_gives_what_the_dataset_holds(tmp_path: Path) -> None:
    dataset(tmp_path)
    with cached_in(tmp_path / "cache"):
        source = open_source(f"store:{tmp_path}/d", tiny())
        held = Dataset.open(tmp_path, "d")
        refs = source.cases()
        assert [ref.case for ref in refs] == [case.key for case in held.cases()]
        assert {ref.patient for ref in refs} == set(PATIENTS[:5])
        assert refs[0].columns == {"modality": "CT", "manufacturer": "GE"}
        suggested = source.suggests()
        assert suggested["task"] == {"kind": "segmentation", "classes": ["background", "lesion"]}
        assert suggested["data"] == {"dims": 3, "channels": 1, "patch": [16, 16, 16]}
        assert suggested["study"] == {"name": "d"}
        for ref in refs:
            loaded = source.load(ref)
            np.testing.assert_array_equal(loaded.image, held.load(held.case(ref.case)).image)
        assert open_source(f"store:{tmp_path}/data/d", tiny()).name == "d"


def test_classes_come_from_the_labels(tmp_path: Path) -> None:
    dataset(tmp_path, classes=("stage10", "stage9"))
    with cached_in(tmp_path / "cache"):
        source = open_source(f"store:{tmp_path}/d", load_study())
        assert source.suggests()["task"] == {
            "kind": "classification",
            "classes": ["stage9", "stage10"],
        }
        study = tiny(
            "task.kind=classification", "task.classes=['stage9', 'stage10']", "model.name=resnet18"
        )
        source = open_source(f"store:{tmp_path}/d", study)
        for ref in source.cases():
            assert source.load(ref).label == ["stage9", "stage10"].index(ref.columns["class"])


def test_who_is_withdrawn_leaves_the_simulations_cache_too(tmp_path: Path) -> None:
    dataset(tmp_path)
    cache = tmp_path / "cache"
    study = tiny("simulation.sites=1")
    with cached_in(cache):
        gather(study, open_source(f"store:{tmp_path}/d", study), 1)
        assert len(list(cache.rglob("*.safetensors"))) == 6
        done = withdraw(tmp_path, PATIENTS[0])
        assert done.datasets["d"].files == 4
        assert len(list(cache.rglob("*.safetensors"))) == 4


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset 'd'"):
        open_source(f"store:{tmp_path}/d", tiny())
    dataset(tmp_path, name="liver")
    with pytest.raises(DataError, match="did you mean 'liver'"):
        open_source(f"store:{tmp_path}/livre", tiny())
