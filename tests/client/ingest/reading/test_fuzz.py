"""Damaged bytes of real and made files: no crash, no hang, no flood of memory."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_defects import DEFECTS, VARIANTS, written
from dicom_series import Series, datasets, enhanced, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless
from real_dicom import of_pydicom

from fedvox.client.ingest.reading.dicom import find, load
from fedvox.client.ingest.reasons import Quarantined

SLOWEST_S = 30.0
MEMORY_KB = 1_500_000
REAL = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-lossy.dcm", "JPGExtended.dcm", "J2K_pixelrep_mismatch.dcm", "rtstruct.dcm",
    "no_meta_group_length.dcm", "nested_priv_SQ.dcm", "dicomdirtests/DICOMDIR",
)  # fmt: skip
LENGTHS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xfe\xff\x00\xe0", b"\xff\xff", b"\0\0"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Files of every encoding, none larger than a few hundred kilobytes."""
    folder = tmp_path_factory.mktemp("corpus")
    paths = [of_pydicom() / name for name in REAL]
    for variant in VARIANTS:
        paths += written(folder / variant, DEFECTS[0], variant)[:1]
    paths += write(folder / "enhanced", [enhanced(Series(5))])
    packed = enhanced(Series(5, 40, 36))
    packed.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    paths += write(folder / "packed", [packed])
    paths += write(folder / "xray", datasets(Series(1, modality="DX")))
    return [path.read_bytes() for path in paths]


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Flips, lying lengths, cuts and repetitions; mostly in the header."""
    kind = draw(st.sampled_from(["flip", "flip", "length", "length", "cut", "repeat"]))
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6))
    early = draw(st.booleans())
    byte, length = draw(st.integers(0, 255)), draw(st.sampled_from(LENGTHS))

    def make(content: bytes) -> bytes:
        changed = bytearray(content)
        for place in places:
            reach = min(len(changed), 3000) if early else len(changed)
            at = int(place * reach)
            if kind == "flip":
                changed[at : at + 1] = bytes([byte])
            elif kind == "length":
                changed[at : at + len(length)] = length
            elif kind == "repeat":
                changed[at:at] = changed[at : at + 40]
            else:
                return bytes(changed[:at])
        return bytes(changed)

    return make


def survives(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    begun = time.monotonic()
    found = find([path])
    assert not any(aside.detail.startswith("unexpected") for aside in found.set_aside)
    ended = len(found.scans) + len(found.labels) + len(found.set_aside) + len(found.companions)
    assert ended >= 1
    for ref in found.scans:
        try:
            load(ref)
        except Quarantined:
            continue
    assert time.monotonic() - begun < SLOWEST_S


def peak_kb() -> int:
    """Of this process and of those that decoded for it."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(one).ru_maxrss for one in who)


def fuzz(examples: int, corpus: list[bytes], folder: Path) -> None:
    before = peak_kb()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(corpus) - 1), damage())
    def check(index: int, make: Callable[[bytes], bytes]) -> None:
        survives(make(corpus[index]), folder / "damaged")

    check()
    assert peak_kb() - before < MEMORY_KB


def test_three_hundred_damaged_files(corpus: list[bytes], tmp_path: Path) -> None:
    fuzz(300, corpus, tmp_path)


@pytest.mark.slow
def test_ten_thousand_damaged_files(corpus: list[bytes], tmp_path: Path) -> None:
    fuzz(10_000, corpus, tmp_path)


def test_every_prefix_of_a_small_file(corpus: list[bytes], tmp_path: Path) -> None:
    small = min(corpus, key=len)
    for end in range(0, len(small), 7):
        survives(small[:end], tmp_path / "cut")
