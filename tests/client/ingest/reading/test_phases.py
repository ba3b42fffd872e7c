"""What tells the phases of one series apart, in single frames and in multi-frame objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_series import Series, datasets, enhanced, write
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Reason

SERIES = Series(6, modality="MR")
Frame = Callable[[int, int, Dataset], None]
"""Marks a frame by its phase and its place."""


def voxels(phase: int) -> NDArray[np.int16]:
    return SERIES.voxels(phase)


def single_frames(mark: Frame, phases: int = 2) -> list[FileDataset]:
    slices: list[FileDataset] = []
    for phase in range(phases):
        for place, ds in enumerate(datasets(SERIES, voxels(phase))):
            ds.SOPInstanceUID += f".{phase}"
            mark(phase, place, ds)
            slices.append(ds)
    return slices


def multi_frame(mark: Frame, series: Series = SERIES) -> list[FileDataset]:
    parts = [enhanced(series, voxels(phase)) for phase in range(2)]
    for phase, part in enumerate(parts):
        for place, item in enumerate(part.PerFrameFunctionalGroupsSequence):
            mark(phase, place, item)
    whole = parts[0]
    whole.PerFrameFunctionalGroupsSequence.extend(parts[1].PerFrameFunctionalGroupsSequence)
    whole.NumberOfFrames = 12
    whole.PixelData += parts[1].PixelData
    return [whole]


def check(folder: Path, files: list[FileDataset], phases: int = 2, shift: int = 0) -> None:
    """The scans are the phases, whole, whatever their order."""
    write(folder, files)
    found = find([folder])
    assert not found.set_aside
    scans = [load(ref).image[0] for ref in found.scans]
    wanted = [voxels(phase).transpose(2, 1, 0) + shift for phase in range(phases)]
    assert len(scans) == phases
    assert all(any(np.array_equal(scan, one) for scan in scans) for one in wanted)


def keyword(name: str, value: Callable[[int, int], Any]) -> Frame:
    return lambda phase, place, ds: setattr(ds, name, value(phase, place))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AcquisitionNumber", lambda phase, place: phase + 1),
        ("TemporalPositionIdentifier", lambda phase, place: phase + 1),
        ("EchoTime", lambda phase, place: 5.0 + phase),
        ("EchoNumbers", lambda phase, place: phase + 1),
        ("RepetitionTime", lambda phase, place: 500.0 + phase),
        ("FlipAngle", lambda phase, place: 5.0 + phase),
        ("DiffusionBValue", lambda phase, place: 1000.0 * phase),
        ("TriggerTime", lambda phase, place: 50.0 * phase),
        ("NominalPercentageOfCardiacPhase", lambda phase, place: 50.0 * phase),
        ("FrameReferenceTime", lambda phase, place: 1000.0 * phase),
        ("AcquisitionTime", lambda phase, place: f"1011{20 * phase + place:02d}"),
    ],
)
def test_attributes_of_single_frames(
    name: str, value: Callable[[int, int], Any], tmp_path: Path
) -> None:
    check(tmp_path, single_frames(keyword(name, value)))


def test_trigger_times_that_follow_the_rate_of_the_heart(tmp_path: Path) -> None:
    """Three phases of a beat, which took longer at each place than at the one before."""
    mark = keyword("TriggerTime", lambda phase, place: (10 + 40 * phase) * (1 + place / 5))
    check(tmp_path, single_frames(mark, 3), 3)


def test_numbers_of_instances_tell_nothing(tmp_path: Path) -> None:
    mark = keyword("InstanceNumber", lambda phase, place: 6 * phase + place)
    write(tmp_path, single_frames(mark))
    (aside,) = find([tmp_path]).set_aside
    assert aside.reason is Reason.DUPLICATE_SLICES


def macro(sequence: str, name: str, value: Callable[[int, int], Any]) -> Frame:
    def mark(phase: int, place: int, item: Dataset) -> None:
        inner = Dataset()
        setattr(inner, name, value(phase, place))
        setattr(item, sequence, Items([inner]))

    return mark


@pytest.mark.parametrize(
    ("sequence", "name", "value"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", lambda phase, place: phase + 1),
        ("FrameContentSequence", "StackID", lambda phase, place: str(phase + 1)),
        ("FrameContentSequence", "FrameAcquisitionNumber", lambda phase, place: phase + 1),
        (
            "FrameContentSequence",
            "FrameAcquisitionDateTime",
            lambda phase, place: f"202001021011{20 * phase + place:02d}",
        ),
        (
            "FrameContentSequence",
            "DimensionIndexValues",
            lambda phase, place: [1, place + 1, phase + 1],
        ),
        (
            "CardiacSynchronizationSequence",
            "NominalCardiacTriggerDelayTime",
            lambda phase, place: 50.0 * phase,
        ),
        ("MREchoSequence", "EffectiveEchoTime", lambda phase, place: 5.0 + phase),
        ("MRDiffusionSequence", "DiffusionBValue", lambda phase, place: 1000.0 * phase),
    ],
)
def test_attributes_of_multi_frame_objects(
    sequence: str, name: str, value: Callable[[int, int], Any], tmp_path: Path
) -> None:
    check(tmp_path, multi_frame(macro(sequence, name, value)))


@pytest.mark.parametrize(
    ("sequence", "name", "values"),
    [
        ("CTReconstructionSequence", "ConvolutionKernel", ("B30f", "B70f")),
        ("CTXRayDetailsSequence", "KVP", (80, 140)),
    ],
)
def test_kernels_and_energies_of_enhanced_ct(
    sequence: str, name: str, values: tuple[Any, Any], tmp_path: Path
) -> None:
    mark = macro(sequence, name, lambda phase, place: values[phase])
    check(tmp_path, multi_frame(mark, Series(6, number=8)), shift=-1024)


def test_the_voltage_of_an_enhanced_ct_is_kept(tmp_path: Path) -> None:
    whole = enhanced(Series(4))
    del whole.KVP
    details = Dataset()
    details.KVP = 110
    whole.SharedFunctionalGroupsSequence[0].CTXRayDetailsSequence = Items([details])
    write(tmp_path, [whole])
    (ref,) = find([tmp_path]).scans
    assert load(ref).technical["kvp_kv"] == 110
