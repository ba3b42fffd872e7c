from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from fedvox.common.study import load_study
from fedvox.simulations.phantom import CLASSES, FOREGROUND, character, phantom
from fedvox.simulations.phantom.fields import blur, grain, slices, smooth_field
from fedvox.simulations.sources import open_source
from fedvox.simulations.sources.phantoms import PhantomSource

SOURCE = PhantomSource(seed=0, sites=4, patients=24, heterogeneity=1.0)


def digest(source: PhantomSource, case: int) -> tuple[float, int]:
    volume = source.load(source.cases()[case])
    return hash(volume.image.tobytes()), hash(np.asarray(volume.label).tobytes())


def test_a_volume_is_whole_hu_with_background_organ_and_lesion():
    lesions = 0
    for ref in SOURCE.site_cases(0)[:12]:
        volume = SOURCE.load(ref)
        assert volume.image.shape == (1, 40, 40, 40)
        assert volume.image.dtype == np.float32
        assert np.array_equal(volume.image, np.rint(volume.image))
        assert volume.image.min() >= -1024
        assert volume.image.max() > 300  # bone
        assert np.median(volume.image[0, 0]) < -800  # air beside the body
        share = np.bincount(volume.label.ravel(), minlength=3) / volume.label.size
        assert len(share) == len(FOREGROUND)
        assert 0.01 < share[1] < 0.15
        lesions += bool(share[2])
    assert 3 <= lesions <= 12


def test_phantoms_are_the_same_on_any_thread_and_in_any_order():
    alone = [digest(SOURCE, case) for case in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda case: digest(replace(SOURCE), case), reversed(range(6))))
    assert alone == together[::-1]
    assert len(set(alone)) == 6


def test_phantoms_do_not_depend_on_blas_threads():
    program = (
        "import hashlib; from fedvox.simulations.sources.phantoms import PhantomSource as P;"
        "s = P(0, 2, 4, 1.0);"
        "print(hashlib.sha256(b''.join(s.load(r).image.tobytes() for r in s.cases())).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True, check=True, text=True, timeout=60,
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


def test_adding_sites_or_patients_changes_no_other_patient():
    more = replace(SOURCE, sites=9)
    assert more.cases()[: len(SOURCE.cases())] == SOURCE.cases()
    assert [more.fingerprint(r) for r in SOURCE.cases()] == [
        SOURCE.fingerprint(r) for r in SOURCE.cases()
    ]
    bigger = replace(SOURCE, patients=60)
    ref = SOURCE.cases()[3]
    assert np.array_equal(bigger.load(ref).image, SOURCE.load(ref).image)


def test_fingerprints_differ_with_everything_that_makes_a_phantom():
    ref = SOURCE.cases()[0]
    other = [
        replace(SOURCE, seed=1), replace(SOURCE, heterogeneity=0.5), replace(SOURCE, dims=2),
        replace(SOURCE, kind="classification"),
    ]  # fmt: skip
    assert len({source.fingerprint(ref) for source in [SOURCE, *other]}) == 5


def test_site_sizes_vary_around_the_mean():
    many = replace(SOURCE, sites=200)
    sizes = np.bincount([int(ref.columns["site"][5:]) - 1 for ref in many.cases()])
    assert len(sizes) == 200
    assert abs(sizes.mean() - 24) < 1
    assert 17 <= sizes.min() < 21 < 27 < sizes.max() <= 31


def test_sites_differ_as_much_as_heterogeneity_says():
    def spread(heterogeneity: float) -> float:
        return float(np.std([character(5, site, heterogeneity).gain for site in range(8)]))

    assert spread(0) == 0
    assert 0 < spread(0.5) < spread(1) < spread(2)
    assert character(5, 0, 0) == character(6, 3, 0)


def test_four_sites_cover_the_range_of_every_trait():
    phases = sorted(character(1, site, 1.0).phase for site in range(4))
    for quarter, phase in enumerate(phases):
        assert quarter / 4 - 1e-3 <= phase <= (quarter + 1) / 4 + 1e-3


def test_diseases_look_as_they_are_called():
    site = character(0, 0, 0.0)
    texture = {}
    for disease in CLASSES:
        found = [phantom(site, np.random.default_rng(n), disease) for n in range(6)]
        assert all((p.label == 2).any() == (disease == "nodule") for p in found)
        texture[disease] = np.mean([p.image[p.label == 1].std() for p in found])
    assert texture["diffuse"] > 1.2 * texture["normal"]


def test_classes_are_spread_unevenly_over_sites():
    source = replace(SOURCE, kind="classification", patients=300)
    shares = []
    for site in range(4):
        classes = [ref.columns["class"] for ref in source.site_cases(site)]
        assert set(classes) == set(CLASSES)
        shares.append(classes.count("nodule") / len(classes))
    assert max(shares) > min(shares) + 0.1
    ref = source.cases()[5]
    volume = source.load(ref)
    assert volume.label == CLASSES.index(ref.columns["class"])
    assert volume.image.shape == (1, 28, 28, 28)


def test_two_dimensions_take_the_most_telling_slice():
    flat, ref = replace(SOURCE, dims=2), SOURCE.cases()[1]
    whole, cut = SOURCE.load(ref), flat.load(ref)
    assert cut.image.shape == (1, 40, 40)
    assert (cut.label == 2).sum() == (whole.label == 2).sum((0, 1)).max()


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
@pytest.mark.parametrize("dims", [2, 3])
def test_suggestions_make_a_study(kind, dims):
    keys = [f"task.kind={kind}", f"data.dims={dims}"]
    if kind == "segmentation":
        keys.append(f"data.patch={[32] * dims}")
    source = open_source("phantom", load_study(settings=keys))
    study = load_study(settings=keys, defaults=source.suggests())
    assert study.data.partition == "column:site"
    assert study.data.patch == ((32,) if kind == "segmentation" else (28,)) * dims
    assert len(study.task.classes) == 3


def test_thousands_of_phantoms_a_minute():
    refs = SOURCE.cases()[:20]
    SOURCE.load(refs[0])
    started = time.process_time()
    for ref in refs:
        SOURCE.load(ref)
    assert (time.process_time() - started) / len(refs) < 60 / 2000


def test_white_noise_keeps_its_deviation_in_any_grain():
    rng = np.random.default_rng(0)
    for field in (smooth_field(rng, 40, 20), smooth_field(rng, 40, 12)):
        assert abs(field.std() - 1) < 0.2
    for sigma in (0.3, 1.6):
        assert np.allclose((grain(40, sigma) ** 2).sum(1), 1, atol=1e-5)


def test_filters_keep_a_constant():
    for weights in (blur(40, 0.7), slices(40, 2.6), slices(40, 1.0), slices(40, 4.0)):
        assert np.allclose(weights.sum(1), 1, atol=1e-5)


def test_smoothing_is_that_of_scipys_filters() -> None:
    for side, sigma in ((28, 0.7), (32, 3.0)):
        wanted = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, mode="nearest")
        np.testing.assert_allclose(blur(side, sigma), wanted, atol=1e-6)
    for thickness in (2.2, 3.4):
        width = round(thickness)
        wanted = ndimage.uniform_filter1d(np.eye(24), width, axis=0, mode="nearest")
        seen = slices(24, thickness)
        np.testing.assert_allclose(seen[0], wanted[0], atol=1e-6)
