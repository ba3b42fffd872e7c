"""Reading against dcm2niix, on the same files in the same run."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fedvox.client.ingest.reading.find import find, load
from fedvox.simulations.bench.ct_series import write_series


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dcm2niix"), reason="dcm2niix is not installed")
def test_reading_is_as_fast_as_dcm2niix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "in", series=6, slices=300)
    for path in (tmp_path / "in").rglob("*.dcm"):
        path.read_bytes()  # both find the files in memory
    (tmp_path / "niix").mkdir()
    begun = time.perf_counter()
    command = ["dcm2niix", "-z", "n", "-b", "n", "-o", tmp_path / "niix", tmp_path / "in"]
    subprocess.run(command, capture_output=True, check=True)
    niix_s = time.perf_counter() - begun
    begun = time.perf_counter()
    refs = find([tmp_path / "in"]).scans
    for number, ref in enumerate(refs):
        load(ref).image.transpose(0, 3, 2, 1).tofile(tmp_path / f"{number}.raw")
    own_s = time.perf_counter() - begun
    for path in tmp_path.iterdir():  # gigabytes that nobody will look at
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with capsys.disabled():
        print(f"  dcm2niix {niix_s:.2f} s, found, loaded and written {own_s:.2f} s")
    assert len(refs) == 6
    assert own_s < 1.5 * niix_s
